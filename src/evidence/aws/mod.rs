//! The answers of AWS, in the shapes that the aws CLI prints.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>

pub mod calls;
pub mod eks;
mod interfaces;
mod routes;
mod vpc;

pub use interfaces::{parse_instances, parse_interfaces};
pub use routes::{parse_nat_gateways, parse_route_tables};
pub use vpc::{parse_dhcp_options, parse_security_groups, parse_subnets, parse_vpc};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::evidence::json::{JsonError, from_json};

/// Reads a list, which must be the whole of it.
fn from_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page {
        next_token: Option<IgnoredAny>,
    }
    let list = from_json(bytes)?;
    match from_json::<Page>(bytes)?.next_token {
        None => Ok(list),
        Some(IgnoredAny) => Err(JsonError::of_whole(
            "NextToken: this is a part of the list; leave out --max-items and --no-paginate",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    group_id: Option<String>,
}
