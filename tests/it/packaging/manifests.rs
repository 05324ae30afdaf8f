//! What krew, Homebrew, aqua and mise read.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use super::{DIST, REPOSITORY, TARGET, VERSION, files_below, program, stem, succeeds, validator, works};
use crate::common::{root, scratch, story};

#[test]
fn kubectl_runs_the_plugin_as_krew_installs_it() {
    let manifest: Value = serde_saphyr::from_str(&DIST.text("eks-netcheck.krew.yaml")).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(
        (&manifest["kind"], &manifest["metadata"]["name"]),
        (&"Plugin".into(), &"eks-netcheck".into())
    );
    assert_eq!(manifest["spec"]["version"], format!("v{VERSION}"));
    // krew's guide wants at most 50 characters, and one line.
    let about = manifest["spec"]["shortDescription"].as_str().unwrap();
    assert!(!about.is_empty() && about.len() <= 50 && !about.contains('\n'), "{about}");
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 1);
    assert_eq!(platforms[0]["selector"]["matchLabels"], serde_json::json!({"os": "linux", "arch": "amd64"}));
    check_archive(platforms[0]["uri"].as_str().unwrap(), platforms[0]["sha256"].as_str().unwrap());

    // krew copies the files that the manifest names to a directory, and links the plugin to
    // its name, with dashes as underscores.
    let dir = scratch();
    DIST.unpack_archive(dir.path());
    let (store, bin) = (dir.path().join("store"), dir.path().join("bin"));
    fs::create_dir_all(&store).unwrap();
    fs::create_dir_all(&bin).unwrap();
    for file in platforms[0]["files"].as_array().unwrap() {
        let pattern = dir.path().join(file["from"].as_str().unwrap());
        let found: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap).collect();
        assert!(!found.is_empty(), "{file} is not in the archive");
        for path in found {
            let to = store.join(file["to"].as_str().unwrap()).join(path.file_name().unwrap());
            fs::copy(&path, to).unwrap();
        }
    }
    let licences = files_below(&store);
    assert!(licences.contains("LICENSE-APACHE") && licences.contains("LICENSES-THIRD-PARTY"), "{licences:?}");
    symlink(store.join(platforms[0]["bin"].as_str().unwrap()), bin.join("kubectl-eks_netcheck")).unwrap();
    let kubectl = || {
        let mut kubectl = Command::new(program("kubectl"));
        kubectl.env("PATH", &bin).env("HOME", dir.path()).arg("eks-netcheck");
        kubectl
    };
    works(&mut || kubectl(), &story("private-only"));
    let help = succeeds(kubectl().args(["audit", "--help"]));
    assert!(help.contains("Usage: kubectl eks-netcheck audit "), "{help}");
    // The exit code is that of the tool.
    let stale = story("public-and-private-stale");
    let failed = kubectl().args(["audit", "--cluster", "myeks", "--evidence"]).arg(stale).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
}

/// A manifest names the archive of the release, by its checksum.
fn check_archive(url: &str, checksum: &str) {
    let name = format!("{}.tar.gz", stem());
    assert_eq!(url, format!("https://github.com/{REPOSITORY}/releases/download/v{VERSION}/{name}"));
    assert!(DIST.text("SHA256SUMS").contains(&format!("{checksum}  {name}\n")), "{checksum}");
}

/// Classes of Homebrew, as far as the formula uses them: what is installed must be in the archive.
const HOMEBREW: &str = r##"
class Target
  def initialize(name) = @name = name
  def install(*files)
    files.flatten.each do |file|
      file = file.keys[0] if file.is_a?(Hash)
      raise "#{file} is not in the archive" unless File.file?(file)
      puts "#{@name} #{file}"
    end
  end
end
class Formula
  def self.desc(text) = (raise "too long" if text.size > 80)
  def self.homepage(_) = nil
  def self.version(text) = puts("version #{text}")
  def self.license(_) = nil
  def self.on_linux = yield
  def self.on_macos = nil
  def self.on_intel = yield
  def self.on_arm = nil
  def self.url(text) = puts("url #{text}")
  def self.sha256(text) = puts("sha256 #{text}")
  def self.test = nil
  %w[bin man1 bash_completion zsh_completion fish_completion pkgshare].each do |name|
    define_method(name) { Target.new(name) }
  end
end
load ARGV[0]
EksNetcheck.new.install
"##;

#[test]
fn homebrew_finds_in_the_archive_what_it_installs() {
    let dir = scratch();
    let unpacked = DIST.unpack_archive(dir.path());
    let formula = DIST.dir.join("eks-netcheck.rb");
    let run = succeeds(Command::new("ruby").args(["-w", "-e", HOMEBREW]).arg(formula).current_dir(unpacked));
    let lines: Vec<_> = run.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let of = |key: &str| lines.iter().filter(|line| line.0 == key).map(|line| line.1).collect::<Vec<_>>();
    assert_eq!(of("version"), [VERSION]);
    check_archive(of("url")[0], of("sha256")[0]);
    assert_eq!(of("bin"), ["eks-netcheck"]);
    assert!(of("man1").len() > 10, "{run}");
    assert_eq!(of("zsh_completion"), ["completions/_eks-netcheck"]);
}

#[test]
fn aqua_and_mise_find_the_archive() {
    let dir = scratch();
    let packages = format!(
        "registries:\n  - {{type: local, name: local, path: registry.yaml}}\npackages:\n  \
         - {{name: {REPOSITORY}@v{VERSION}, registry: local}}\n"
    );
    fs::write(dir.path().join("aqua.yaml"), packages).unwrap();
    fs::write(dir.path().join("registry.yaml"), DIST.text("eks-netcheck.aqua.yaml")).unwrap();
    // Where the tool is after an installation, which aqua derives from the name of the archive.
    let path = succeeds(
        validator("aqua")
            .args(["which", "eks-netcheck"])
            .env("AQUA_ROOT_DIR", dir.path().join("root"))
            .current_dir(&dir),
    );
    assert!(path.trim_end().ends_with(&format!("/{0}.tar.gz/{0}/eks-netcheck", stem())), "{path}");

    let tools: toml::Value = toml::from_str(&DIST.text("eks-netcheck.mise.toml")).unwrap();
    let tool = &tools["tools"][format!("github:{REPOSITORY}").as_str()];
    assert_eq!(tool["version"].as_str(), Some(VERSION));
    let archive = &tool["platforms"]["linux-x64"];
    let url = format!(
        "https://github.com/{REPOSITORY}/releases/download/v{VERSION}/{}",
        archive["asset_pattern"].as_str().unwrap()
    );
    check_archive(&url, archive["checksum"].as_str().unwrap().strip_prefix("sha256:").unwrap());
}

#[test]
fn manifests_name_the_archives_of_all_platforms_that_are_there() {
    let dir = scratch();
    for target in [TARGET, "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"] {
        fs::write(dir.path().join(format!("eks-netcheck-{VERSION}-{target}.tar.gz")), target).unwrap();
    }
    let mut manifests = Command::new(root().join("packaging/dist"));
    succeeds(manifests.args(["--manifests-only", "--repository", REPOSITORY]).arg(dir.path()));
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let krew: Value = serde_saphyr::from_str(&read("eks-netcheck.krew.yaml")).unwrap();
    let label = |one: &Value| {
        one["selector"]["matchLabels"].as_object().unwrap().values().cloned().collect::<Vec<_>>()
    };
    let platforms: Vec<_> = krew["spec"]["platforms"].as_array().unwrap().iter().map(label).collect();
    assert_eq!(platforms, [["amd64", "linux"], ["arm64", "linux"], ["arm64", "darwin"]]);
    let aqua: Value = serde_saphyr::from_str(&read("eks-netcheck.aqua.yaml")).unwrap();
    let supported = serde_json::json!(["linux/amd64", "linux/arm64", "darwin/arm64"]);
    assert_eq!(aqua["packages"][0]["supported_envs"], supported);
    let mise: toml::Value = toml::from_str(&read("eks-netcheck.mise.toml")).unwrap();
    let tool = &mise["tools"][format!("github:{REPOSITORY}").as_str()];
    let keys: Vec<_> = tool["platforms"].as_table().unwrap().keys().collect();
    assert_eq!(keys, ["linux-arm64", "linux-x64", "macos-arm64"]);
    succeeds(Command::new("ruby").arg("-cw").arg(dir.path().join("eks-netcheck.rb")));
    let formula = read("eks-netcheck.rb");
    assert_eq!(
        (formula.matches("on_linux do").count(), formula.matches("sha256 \"").count()),
        (1, 3),
        "{formula}"
    );
}
