//! The root certificates of requests to AWS, and which of them count where several are there.

use std::path::Path;

use eks_netcheck_lab::tls::{Answers, Authority, Shows, TlsServer};

use crate::common::{Netcheck, Ran, scratch};

/// The command line of an audit of an endpoint of AWS, which accepts connections and is none.
fn command(server: &TlsServer, variables: &[(&str, &Path)]) -> Netcheck {
    let url = format!("https://localhost:{}", server.port());
    let audit = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--probe", "none"])
        .args(&["--region", "eu-west-1", "--timeout", "20"])
        .env("AWS_ENDPOINT_URL", &url)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    variables.iter().fold(audit, |audit, (name, path)| audit.env(name, path.to_str().unwrap()))
}

fn audit(server: &TlsServer, variables: &[(&str, &Path)]) -> Ran {
    command(server, variables).run()
}

#[test]
fn certificates_of_the_environment_are_trusted_in_their_order() {
    let dir = scratch();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let first = write("first.pem", Authority::First.pem());
    let other = write("other.pem", Authority::Other.pem());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let mixed = write("mixed.pem", &format!("{broken}{}", Authority::First.pem()));
    let hashed = write("certs/5ad8a5d6.0", Authority::First.pem());
    let directory = hashed.parent().unwrap();
    let (bundle, file, dir) = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR");
    let cases: [(&[(&str, &Path)], bool); 9] = [
        (&[], false),
        (&[(file, &first)], true),
        (&[(dir, directory)], true),
        (&[(file, &other)], false),
        (&[(file, &other), (dir, directory)], true),
        (&[(bundle, &first)], true),
        (&[(bundle, &first), (file, &other)], true),
        (&[(bundle, &other), (file, &first)], true),
        (&[(bundle, &mixed)], true),
    ];
    for (variables, is_trusted) in cases {
        let server = TlsServer::serve(Shows::First, Answers::Api(404, 404, 404)).unwrap();
        let ran = audit(&server, variables);
        assert_eq!(!server.requests().is_empty(), is_trusted, "{variables:?}: {}", ran.stderr);
        assert_ne!(ran.code, 0, "{variables:?}: {}", ran.stdout);
        let is_blamed = ran.stderr.contains("no TLS connection to localhost");
        assert_eq!(is_blamed, !is_trusted, "{variables:?}: {}", ran.stderr);
    }
}

#[test]
fn a_place_without_certificates_is_an_error() {
    let dir = scratch();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let server = TlsServer::serve(Shows::First, Answers::Api(404, 404, 404)).unwrap();
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        for path in [&*empty, &*broken, Path::new("/no/such/place")] {
            let ran = audit(&server, &[(name, path)]);
            assert_eq!(ran.code, 2, "{name}={}: {}", path.display(), ran.stderr);
            assert!(ran.stderr.contains(name), "{name}={}: {}", path.display(), ran.stderr);
        }
    }
    // Another place that has certificates does not hide it.
    let other = dir.path().join("other.pem");
    std::fs::write(&other, Authority::First.pem()).unwrap();
    for (name, path) in [
        ("SSL_CERT_FILE", &*empty),
        ("SSL_CERT_FILE", Path::new("")),
        ("SSL_CERT_DIR", Path::new("/no/such/place")),
    ] {
        let ran = audit(&server, &[("AWS_CA_BUNDLE", &other), (name, path)]);
        assert_eq!(ran.code, 2, "{name}={}: {}", path.display(), ran.stderr);
        assert!(ran.stderr.contains(name), "{name}={}: {}", path.display(), ran.stderr);
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_store_of_the_system_that_cannot_be_used_is_not_replaced() {
    let dir = scratch();
    let bundle = dir.path().join("bundle.pem");
    std::fs::write(&bundle, Authority::First.pem()).unwrap();
    let server = TlsServer::serve(Shows::First, Answers::Api(404, 404, 404)).unwrap();
    // The first file that is looked for; those of other distributions are hidden.
    let hide = "for dir in /etc/ssl /etc/pki /etc/security /opt; do \
                if [ -d $dir ]; then mount -t tmpfs none $dir; fi; done; mkdir /etc/ssl/certs";
    let store = "/etc/ssl/certs/ca-certificates.crt";
    let built_in = "the system has no root certificates";
    let is_connected = || !server.requests().is_empty();
    for (prepare, cause) in [
        (format!("printf '%s\\n' '-----BEGIN CERTIFICATE-----' AAAA >{store}"), "failed to read PEM"),
        (
            format!("printf '%s\\n' '-----BEGIN CERTIFICATE-----' AAAA '-----END CERTIFICATE-----' >{store}"),
            "has none that can be used",
        ),
        (format!("mkdir {store}"), "Is a directory"),
        ("ln -s loop /etc/ssl/certs/loop".to_owned(), "/etc/ssl/certs/loop"),
    ] {
        let prepare = format!("{hide}; {prepare}");
        for variables in [&[][..], &[("AWS_CA_BUNDLE", &*bundle)]] {
            let ran = command(&server, variables).arg("-vv").run_after(&prepare);
            assert_eq!(ran.code, 2, "{prepare}: {}", ran.stderr);
            let is_named = ran.stderr.contains("the system's store of root certificates");
            assert!(is_named && ran.stderr.contains(cause), "{prepare}: {}", ran.stderr);
            assert!(!ran.stderr.contains(built_in) && !is_connected(), "{prepare}: {}", ran.stderr);
        }
    }
    // As in an image without the package of certificates.
    let ran = command(&server, &[]).arg("-vv").run_after(hide);
    assert!(ran.stderr.contains(built_in), "{}", ran.stderr);
    // A store that is named takes its place.
    let ran = command(&server, &[("SSL_CERT_FILE", &bundle)]).run_after(&format!("{hide}; mkdir {store}"));
    assert!(is_connected(), "{}", ran.stderr);
}
