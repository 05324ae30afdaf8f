# For a tap, as Formula/eks-netcheck.rb.
class EksNetcheck < Formula
  desc "Audits the network paths between EKS nodes and the API server"
  homepage "$homepage"
  version "$version"
  license any_of: ["Apache-2.0", "MIT"]

$homebrew
  def install
    bin.install "eks-netcheck"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/eks-netcheck.bash" => "eks-netcheck"
    zsh_completion.install "completions/_eks-netcheck"
    fish_completion.install "completions/eks-netcheck.fish"
    pkgshare.install "LICENSES-THIRD-PARTY"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/eks-netcheck --version")
    system bin/"eks-netcheck", "policy", "init"
    system bin/"eks-netcheck", "policy", "check"
  end
end
