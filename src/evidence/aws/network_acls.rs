//! `describe-network-acls`.

use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::JsonError;
use crate::model::net::{self, AclEntry};

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAcl.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAcl {
    pub(crate) network_acl_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_default: Option<bool>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) associations: Vec<NetworkAclAssociation>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) entries: Vec<NetworkAclEntry>,
}

impl Listed for NetworkAcl {
    const LIST: &'static str = "NetworkAcls";
}

/// A subnet that has a network ACL.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAclAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAclEntry.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAclEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port_range: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_cidr_block: Option<String>,
}

/// The ports of an entry.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PortRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i32>,
}

/// Reads `describe-network-acls`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_network_acls(bytes: &[u8]) -> Result<Vec<net::NetworkAcl>, JsonError> {
    Ok(read_list::<NetworkAcl>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<NetworkAcl> for net::NetworkAcl {
    fn from(wire: NetworkAcl) -> Self {
        let mut entries: Vec<_> = wire.entries.iter().flat_map(NetworkAclEntry::to_entries).collect();
        entries.sort_by_key(|entry| entry.number);
        Self {
            id: wire.network_acl_id,
            vpc: wire.vpc_id,
            subnets: wire.associations.into_iter().filter_map(|one| one.subnet_id).collect(),
            entries,
        }
    }
}

impl NetworkAclEntry {
    /// The entry, for both directions if it names none. Of one that is not recorded whole,
    /// what it matches is not known.
    fn to_entries(&self) -> Vec<AclEntry> {
        let port = |number: Option<i32>, default: u16| {
            number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
        };
        let all = (0, u16::MAX);
        let ports = match self.protocol.as_deref() {
            Some("-1" | "all") | None => Some(all),
            Some("6" | "tcp") => Some(match &self.port_range {
                Some(range) => (port(range.from, 0), port(range.to, u16::MAX)),
                None => all,
            }),
            Some(_) => None,
        };
        let block = self.cidr_block.as_deref().or(self.ipv6_cidr_block.as_deref());
        let block = block.and_then(|text| text.parse().ok());
        let allows = match self.rule_action.as_deref() {
            Some("allow") => Some(true),
            Some("deny") => Some(false),
            _ => None,
        };
        let is_whole = self.protocol.is_some()
            && self.rule_number.is_some()
            && self.egress.is_some()
            && allows.is_some();
        let directions = self.egress.map_or(vec![false, true], |egress| vec![egress]);
        let entry = |is_outbound| AclEntry {
            number: self.rule_number.unwrap_or_default(),
            is_outbound,
            allows: allows == Some(true),
            ports,
            block: block.filter(|_| is_whole),
        };
        directions.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(json: &str) -> Vec<AclEntry> {
        let list = format!("{{\"NetworkAcls\": [{{\"NetworkAclId\": \"acl-1\", \"Entries\": {json}}}]}}");
        parse_network_acls(list.as_bytes()).expect("network ACLs").remove(0).entries
    }

    #[test]
    fn entries_are_sorted_by_number_and_have_ports_of_tcp() {
        let parsed = entries(
            r#"[
                {"RuleNumber": 32767, "Egress": false, "RuleAction": "deny", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"},
                {"RuleNumber": 100, "Egress": false, "RuleAction": "allow", "Protocol": "6",
                 "PortRange": {"From": 443, "To": 444}, "CidrBlock": "10.0.0.0/8"},
                {"RuleNumber": 110, "Egress": true, "RuleAction": "allow", "Protocol": "17", "Ipv6CidrBlock": "::/0"}
            ]"#,
        );
        let shapes: Vec<_> = parsed
            .iter()
            .map(|entry| (entry.number, entry.is_outbound, entry.allows, entry.ports, entry.block.is_some()))
            .collect();
        assert_eq!(
            shapes,
            [
                (100, false, true, Some((443, 444)), true),
                (110, true, true, None, true),
                (32767, false, false, Some((0, u16::MAX)), true)
            ]
        );
    }

    #[test]
    fn what_an_entry_matches_that_is_not_whole_is_not_known() {
        for json in [
            r#"[{"Egress": true, "RuleAction": "allow", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}]"#,
            r#"[{"RuleNumber": 1, "Egress": true, "RuleAction": "?", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}]"#,
            r#"[{"RuleNumber": 1, "Egress": true, "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}]"#,
            r#"[{"RuleNumber": 1, "Egress": true, "RuleAction": "allow", "Protocol": "-1", "CidrBlock": "all"}]"#,
        ] {
            let parsed = entries(json);
            assert!(parsed.len() == 1 && parsed[0].ports.is_some() && parsed[0].block.is_none(), "{json}");
        }
        let both = entries(
            r#"[{"RuleNumber": 1, "RuleAction": "allow", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"}]"#,
        );
        assert_eq!(both.iter().map(|entry| entry.is_outbound).collect::<Vec<_>>(), [false, true]);
        assert!(both.iter().all(|entry| entry.block.is_none()));
    }
}
