//! The root certificates of requests to AWS, and which of them count where several are there.

use std::path::Path;

use eks_netcheck_lab::tls::{Answers, Authority, Shows, TlsServer};

use crate::common::{Netcheck, Ran, scratch};

/// An audit of an endpoint of AWS, which accepts connections and is none.
fn audit(server: &TlsServer, variables: &[(&str, &Path)]) -> Ran {
    let url = format!("https://localhost:{}", server.port());
    let audit = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--probe", "none"])
        .args(&["--region", "eu-west-1", "--timeout", "20"])
        .env("AWS_ENDPOINT_URL", &url)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    variables.iter().fold(audit, |audit, (name, path)| audit.env(name, path.to_str().unwrap())).run()
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
    assert_eq!(server.requests(), Vec::<String>::new());
}
