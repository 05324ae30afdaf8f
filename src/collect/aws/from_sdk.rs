//! The conversion of the SDK's types into the shapes that the aws CLI prints: field by
//! field, since the names are the same.

use std::net::IpAddr;

use ipnet::IpNet;

use super::failure::Failure;

/// A conversion from a type of the SDK.
pub(super) trait FromSdk<S>: Sized {
    /// Converts.
    fn from_sdk(sdk: S) -> Result<Self, Failure>;
}

/// Implements the conversion of structs, each with the names of its fields.
macro_rules! from_sdk {
    ($($sdk:ident => $shape:ident { $($field:ident),* $(,)? $(..$rest:expr)? })*) => {$(
        impl $crate::collect::aws::from_sdk::FromSdk<aws_sdk_ec2::types::$sdk> for $shape {
            fn from_sdk(
                sdk: aws_sdk_ec2::types::$sdk,
            ) -> Result<Self, $crate::collect::aws::failure::Failure> {
                use $crate::collect::aws::from_sdk::FromSdk;
                Ok(Self {
                    $($field: FromSdk::from_sdk(sdk.$field).map_err(|error| error.of(stringify!($field)))?,)*
                    $(..$rest)?
                })
            }
        }
    )*};
}
pub(super) use from_sdk;

/// Implements the conversion of enumerations into their words.
macro_rules! from_enumeration {
    ($($sdk:ident),* $(,)?) => {$(
        impl $crate::collect::aws::from_sdk::FromSdk<aws_sdk_ec2::types::$sdk> for String {
            fn from_sdk(
                sdk: aws_sdk_ec2::types::$sdk,
            ) -> Result<Self, $crate::collect::aws::failure::Failure> {
                Ok(sdk.as_str().to_owned())
            }
        }
    )*};
}
pub(super) use from_enumeration;

impl<T: FromSdk<S>, S> FromSdk<Option<S>> for Option<T> {
    fn from_sdk(sdk: Option<S>) -> Result<Self, Failure> {
        sdk.map(T::from_sdk).transpose()
    }
}

/// A list that is absent is an empty one.
impl<T: FromSdk<S>, S> FromSdk<Option<Vec<S>>> for Vec<T> {
    fn from_sdk(sdk: Option<Vec<S>>) -> Result<Self, Failure> {
        sdk.unwrap_or_default().into_iter().map(T::from_sdk).collect()
    }
}

/// A list that differs from an absent one.
impl<T: FromSdk<S>, S> FromSdk<Vec<S>> for Vec<T> {
    fn from_sdk(sdk: Vec<S>) -> Result<Self, Failure> {
        sdk.into_iter().map(T::from_sdk).collect()
    }
}

/// An id, which every item has.
impl FromSdk<Option<String>> for String {
    fn from_sdk(sdk: Option<String>) -> Result<Self, Failure> {
        sdk.ok_or_else(|| Failure::malformed("missing"))
    }
}

impl FromSdk<String> for String {
    fn from_sdk(sdk: String) -> Result<Self, Failure> {
        Ok(sdk)
    }
}

impl FromSdk<String> for IpAddr {
    fn from_sdk(sdk: String) -> Result<Self, Failure> {
        sdk.parse().map_err(|error| Failure::malformed(format!("{sdk:?}: {error}")))
    }
}

impl FromSdk<String> for IpNet {
    fn from_sdk(sdk: String) -> Result<Self, Failure> {
        sdk.parse().map_err(|error| Failure::malformed(format!("{sdk:?}: {error}")))
    }
}

impl FromSdk<bool> for bool {
    fn from_sdk(sdk: bool) -> Result<Self, Failure> {
        Ok(sdk)
    }
}

impl FromSdk<i32> for i32 {
    fn from_sdk(sdk: i32) -> Result<Self, Failure> {
        Ok(sdk)
    }
}

impl FromSdk<i32> for u32 {
    fn from_sdk(sdk: i32) -> Result<Self, Failure> {
        sdk.try_into().map_err(|error| Failure::malformed(format!("{sdk}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types;

    use super::FromSdk;
    use crate::evidence::aws::interfaces::NetworkInterface;
    use crate::evidence::aws::security_groups::SecurityGroup;
    use crate::model::gap::GapReason;

    #[test]
    fn malformed_values_are_failures_that_name_the_field() {
        let eni = || types::NetworkInterface::builder().network_interface_id("eni-1");
        let convert = |eni: types::NetworkInterface| NetworkInterface::from_sdk(eni);
        let address = types::NetworkInterfacePrivateIpAddress::builder().private_ip_address("10.0.0").build();
        let failure =
            convert(eni().private_ip_addresses(address).build()).expect_err("an address of 3 bytes");
        assert_eq!(failure.why, GapReason::Malformed);
        assert_eq!(
            failure.detail,
            "private_ip_addresses: private_ip_address: \"10.0.0\": invalid IP address syntax"
        );
        let attachment = types::NetworkInterfaceAttachment::builder().device_index(-1).build();
        let failure = convert(eni().attachment(attachment).build()).expect_err("a negative index");
        assert!(failure.detail.starts_with("attachment: device_index: -1: "), "{failure:?}");
        let failure = convert(types::NetworkInterface::builder().build()).expect_err("no id");
        assert_eq!(failure.detail, "network_interface_id: missing");
    }

    #[test]
    fn absent_fields_are_left_out_and_absent_lists_are_empty() {
        let eni = types::NetworkInterface::builder().network_interface_id("eni-1").build();
        let eni = NetworkInterface::from_sdk(eni).expect("an interface");
        assert_eq!(
            serde_json::to_value(eni).expect("JSON"),
            serde_json::json!({
                "NetworkInterfaceId": "eni-1", "PrivateIpAddresses": [], "Ipv6Addresses": [],
                "Ipv4Prefixes": [], "Ipv6Prefixes": [], "Groups": [], "TagSet": [],
            })
        );
    }

    /// A group without outbound rules differs from one whose outbound rules were not read.
    #[test]
    fn absent_rules_of_a_group_differ_from_none() {
        let group = || types::SecurityGroup::builder().group_id("sg-1");
        let json = |group: types::SecurityGroup| {
            serde_json::to_value(SecurityGroup::from_sdk(group).expect("a group")).expect("JSON")
        };
        assert_eq!(json(group().build()), serde_json::json!({"GroupId": "sg-1"}));
        let empty = group().set_ip_permissions_egress(Some(Vec::new())).build();
        assert_eq!(json(empty), serde_json::json!({"GroupId": "sg-1", "IpPermissionsEgress": []}));
    }
}
