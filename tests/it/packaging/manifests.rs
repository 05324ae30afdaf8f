//! What krew, Homebrew, aqua and mise read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use super::refusals::{fake_archive, fake_binary};
use super::{
    DIST, REPOSITORY, TARGET, VERSION, both, files_below, program, stem, succeeds, validator, works,
};
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

#[test]
fn kubectl_completes_the_words_of_the_plugin() {
    let dir = scratch();
    let unpacked = DIST.unpack_archive(dir.path());
    let completion = unpacked.join("completions/kubectl_complete-eks_netcheck");
    symlink(unpacked.join("eks-netcheck"), unpacked.join("kubectl-eks_netcheck")).unwrap();
    fs::rename(completion, unpacked.join("kubectl_complete-eks_netcheck")).unwrap();
    // As the completion script of kubectl asks for it: words, and whether one may be a file.
    let complete = |words: &[&str]| {
        let mut kubectl = Command::new(program("kubectl"));
        let path = format!("{}:/usr/bin:/bin", unpacked.display());
        kubectl.env_clear().env("PATH", path).env("HOME", dir.path()).current_dir(&unpacked);
        succeeds(kubectl.args(["__complete", "eks-netcheck"]).args(words))
    };
    assert_eq!(complete(&["aud"]), "audit\n:4\n");
    assert_eq!(complete(&["audit", "--nodes", "kubectl-"]), "kubectl-agent\nkubectl-jobs\n:4\n");
    assert_eq!(complete(&["explain", "node-cut"]), "node-cut-off\n:4\n");
    assert_eq!(complete(&["audit", "--policy", "CHANGE"]), "CHANGELOG.md\n:4\n");
    assert_eq!(complete(&["no such command"]), ":0\n");
}

/// A manifest names the archive of the release, by its checksum.
fn check_archive(url: &str, checksum: &str) {
    let name = format!("{}.tar.gz", stem());
    assert_eq!(url, format!("https://github.com/{REPOSITORY}/releases/download/v{VERSION}/{name}"));
    assert!(DIST.text("SHA256SUMS").contains(&format!("{checksum}  {name}\n")), "{checksum}");
}

/// Classes of Homebrew, as far as the formula uses them: it is installed into a directory, and its
/// test is run.
const HOMEBREW: &str = r##"
require "fileutils"
require "open3"
require "pathname"
PREFIX = Pathname.new(ARGV[1])
class Pathname
  def install(*files)
    mkpath
    files.flatten.each do |file|
      from, to = file.is_a?(Hash) ? file.first : [file, File.basename(file)]
      raise "#{from} is not in the archive" unless File.file?(from)
      FileUtils.cp(from, self / to)
    end
  end
end
class Formula
  def self.desc(text) = (raise "too long" if text.size > 80)
  def self.homepage(_) = nil
  def self.version(text) = define_method(:version) { text }
  def self.license(_) = nil
  def self.on_linux = yield
  def self.on_macos = nil
  def self.on_intel = yield
  def self.on_arm = nil
  def self.url(text) = puts("url #{text}")
  def self.sha256(text) = puts("sha256 #{text}")
  def self.test(&block) = define_method(:run_test, &block)
  {
    bin: "bin", man1: "share/man/man1", bash_completion: "etc/bash_completion.d", pkgshare: "share/eks-netcheck",
    zsh_completion: "share/zsh/site-functions", fish_completion: "share/fish/vendor_completions.d"
  }.each { |name, path| define_method(name) { PREFIX / path } }
  def system(*command) = (Kernel.system(*command.map(&:to_s), out: File::NULL) or raise command.join(" "))
  def shell_output(command)
    output, status = Open3.capture2(command)
    raise command unless status.success?
    output
  end
  def assert_match(part, text) = (raise "no #{part} in #{text}" unless text.include?(part))
end
load ARGV[0]
formula = EksNetcheck.new
formula.install
Dir.chdir(ARGV[2]) { formula.run_test }
puts "version #{formula.version}"
"##;

#[test]
fn homebrew_installs_what_is_in_the_archive_and_tests_it() {
    let dir = scratch();
    let unpacked = DIST.unpack_archive(dir.path());
    let (prefix, workspace) = (dir.path().join("prefix"), dir.path().join("test"));
    fs::create_dir(&workspace).unwrap();
    let mut ruby = Command::new("ruby");
    ruby.args(["-w", "-e", HOMEBREW]).arg(DIST.dir.join("eks-netcheck.rb")).args([&prefix, &workspace]);
    let run = succeeds(ruby.current_dir(unpacked));
    let lines: Vec<_> = run.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let of = |key: &str| lines.iter().find(|line| line.0 == key).unwrap().1;
    assert_eq!(of("version"), VERSION);
    check_archive(of("url"), of("sha256"));
    // The test of the formula left what it wrote.
    assert_eq!(files_below(&workspace), ["eks-netcheck.toml".to_owned()].into());
    let installed = files_below(&prefix);
    for file in [
        "bin/eks-netcheck",
        "share/man/man1/eks-netcheck-audit.1",
        "etc/bash_completion.d/eks-netcheck",
        "share/zsh/site-functions/_eks-netcheck",
        "share/fish/vendor_completions.d/eks-netcheck.fish",
        "share/eks-netcheck/LICENSES-THIRD-PARTY",
    ] {
        assert!(installed.contains(file), "{file} is not in {installed:?}");
    }
}

#[test]
fn aqua_finds_the_archive() {
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
}

/// Serves files for the rest of the test run, as the API of GitHub does those of a release.
fn serve_release() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let names = [format!("{}.tar.gz", stem()), "SHA256SUMS".to_owned()];
    let asset = |name: &String| {
        let link = format!("{url}/{name}");
        json!({"name": name, "url": link, "browser_download_url": link})
    };
    let release = json!({
        "tag_name": format!("v{VERSION}"), "draft": false, "prerelease": false,
        "created_at": "2026-01-01T00:00:00Z", "assets": names.iter().map(asset).collect::<Vec<_>>(),
    });
    let mut files: BTreeMap<_, _> =
        names.into_iter().map(|name| (format!("/{name}"), fs::read(DIST.dir.join(name)).unwrap())).collect();
    files.insert(format!("/repos/{REPOSITORY}/releases/tags/v{VERSION}"), release.to_string().into_bytes());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let request = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let body = request.split(' ').nth(1).and_then(|path| files.get(path));
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            let body = body.map(Vec::as_slice).unwrap_or_default();
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    url
}

#[test]
fn mise_installs_the_archive_if_its_checksum_is_right() {
    let program = root().join("target/validators/node_modules/@jdxcode/mise-linux-x64/bin/mise");
    assert!(program.exists(), "mise is missing; install it with: tests/validate --install");
    // The API of GitHub is this server.
    let version = format!("version = \"{VERSION}\"\n");
    let tools = DIST.text("eks-netcheck.mise.toml");
    assert_eq!(tools.matches(&version).count(), 1, "{tools}");
    let tools = tools.replace(&version, &format!("{version}api_url = \"{}\"\n", serve_release()));
    let mise = |dir: &Path| {
        let mut mise = Command::new(&program);
        mise.current_dir(dir).env_clear().env("HOME", dir).env("PATH", "/usr/bin:/bin");
        // Nothing is downloaded from the internet.
        mise.env("MISE_YES", "1").env("https_proxy", "http://127.0.0.1:1").env("no_proxy", "127.0.0.1");
        mise
    };
    let dir = scratch();
    fs::write(dir.path().join("mise.toml"), &tools).unwrap();
    succeeds(mise(dir.path()).args(["trust", "--quiet"]));
    succeeds(mise(dir.path()).arg("install"));
    let mut tool = || {
        let mut tool = mise(dir.path());
        tool.args(["exec", "--", "eks-netcheck"]);
        tool
    };
    works(&mut tool, &story("private-only"));

    // Another checksum.
    let dir = scratch();
    let (before, sum) = tools.split_once("sha256:").unwrap();
    fs::write(dir.path().join("mise.toml"), format!("{before}sha256:{}{}", "ab".repeat(32), &sum[64..]))
        .unwrap();
    succeeds(mise(dir.path()).args(["trust", "--quiet"]));
    let refused = mise(dir.path()).arg("install").output().unwrap();
    assert!(
        !refused.status.success() && both(&refused).to_lowercase().contains("checksum"),
        "{}",
        both(&refused)
    );
    assert!(!files_below(dir.path()).iter().any(|file| file.ends_with("/eks-netcheck")));
}

#[test]
fn manifests_name_the_archives_of_all_platforms_that_are_there() {
    let dir = scratch();
    for target in [TARGET, "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"] {
        fake_archive(dir.path(), target, &fake_binary(target));
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
