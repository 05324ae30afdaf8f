//! The account of the programs in a pod.

use std::fmt;
use std::str::FromStr;

/// A service account, as kubectl names one: `NAMESPACE:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

impl ServiceAccount {
    /// The namespace that it is in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name in the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for ServiceAccount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once(':').filter(|(namespace, name)| is_label(namespace) && is_subdomain(name));
        let (namespace, name) = parts.ok_or("expected NAMESPACE:NAME, such as eks-netcheck:eks-netcheck")?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

/// Whether a text is a label of a DNS name (RFC 1123), as the names of namespaces are.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is a DNS name, as the names of service accounts are.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_a_namespace_and_a_name() {
        for text in ["a:b", "eks-netcheck:eks-netcheck", "a:b.c", "0:1"] {
            assert_eq!(
                text.parse::<ServiceAccount>().map(|account| account.to_string()),
                Ok(text.to_owned())
            );
        }
        let long = format!("a:{}", "b.".repeat(127));
        for text in
            ["", "a", ":", "a:", ":b", "a:b:c", "A:b", "a.b:c", "a:b..c", "a:-b", "a/b", "a:b\n", &long]
        {
            assert!(text.parse::<ServiceAccount>().is_err(), "{text}");
        }
    }
}
