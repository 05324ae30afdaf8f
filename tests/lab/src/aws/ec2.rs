//! EC2: a form in, XML out.

use std::borrow::Cow;

use serde_json::Value;

use super::account::Account;
use super::call::{Call, Token};
use super::error::ApiError;
use super::select::{Filter, page};
use super::xml;
use crate::http::Response;

/// As many elements as a page has when the client asks for no number.
const PAGE: usize = 1000;

/// A `Describe` operation on one kind of element.
struct Kind {
    operation: &'static str,
    /// The element that holds the list in the answer.
    list: &'static str,
    /// The elements' shape.
    shape: &'static str,
    /// The list in the account.
    elements: fn(&Account) -> &[Value],
    /// The key of an element's id, and the parameter that asks for some by it.
    id: &'static str,
    /// The error code for an id that is not there.
    not_found: &'static str,
    /// The list of an element that filters and ids are about, where it is not the element itself.
    inner: Option<&'static str>,
    /// The key of the tags.
    tags: &'static str,
    /// The filters besides those of tags, and the paths to their values.
    filters: &'static [(&'static str, &'static str)],
    /// Whether elements that a service manages are left out unless the call includes them.
    managed: bool,
}

/// What most kinds have in common.
const KIND: Kind = Kind {
    operation: "",
    list: "",
    shape: "",
    elements: |_| &[],
    id: "",
    not_found: "",
    inner: None,
    tags: "Tags",
    filters: &[],
    managed: false,
};

static KINDS: &[Kind] = &[
    Kind {
        operation: "DescribeNetworkInterfaces",
        list: "networkInterfaceSet",
        shape: "NetworkInterface",
        elements: |account| &account.network_interfaces,
        id: "NetworkInterfaceId",
        not_found: "InvalidNetworkInterfaceID.NotFound",
        tags: "TagSet",
        filters: &[
            ("addresses.private-ip-address", "PrivateIpAddresses.PrivateIpAddress"),
            ("association.public-ip", "Association.PublicIp"),
            ("attachment.instance-id", "Attachment.InstanceId"),
            ("attachment.instance-owner-id", "Attachment.InstanceOwnerId"),
            ("attachment.status", "Attachment.Status"),
            ("availability-zone", "AvailabilityZone"),
            ("description", "Description"),
            ("group-id", "Groups.GroupId"),
            ("group-name", "Groups.GroupName"),
            ("interface-type", "InterfaceType"),
            ("ipv6-addresses.ipv6-address", "Ipv6Addresses.Ipv6Address"),
            ("mac-address", "MacAddress"),
            ("network-interface-id", "NetworkInterfaceId"),
            ("operator.managed", "Operator.Managed"),
            ("operator.principal", "Operator.Principal"),
            ("owner-id", "OwnerId"),
            ("private-ip-address", "PrivateIpAddress"),
            ("requester-id", "RequesterId"),
            ("requester-managed", "RequesterManaged"),
            ("status", "Status"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
        managed: true,
        ..KIND
    },
    Kind {
        operation: "DescribeInstances",
        list: "reservationSet",
        shape: "Reservation",
        elements: |account| &account.reservations,
        id: "InstanceId",
        not_found: "InvalidInstanceID.NotFound",
        inner: Some("Instances"),
        filters: &[
            ("availability-zone", "Placement.AvailabilityZone"),
            ("instance-id", "InstanceId"),
            ("instance-state-name", "State.Name"),
            ("instance-type", "InstanceType"),
            ("ip-address", "PublicIpAddress"),
            ("network-interface.network-interface-id", "NetworkInterfaces.NetworkInterfaceId"),
            ("operator.managed", "Operator.Managed"),
            ("private-dns-name", "PrivateDnsName"),
            ("private-ip-address", "PrivateIpAddress"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
        managed: true,
        ..KIND
    },
    Kind {
        operation: "DescribeVpcs",
        list: "vpcSet",
        shape: "Vpc",
        elements: |account| &account.vpcs,
        id: "VpcId",
        not_found: "InvalidVpcID.NotFound",
        filters: &[
            ("cidr", "CidrBlock"),
            ("dhcp-options-id", "DhcpOptionsId"),
            ("is-default", "IsDefault"),
            ("owner-id", "OwnerId"),
            ("state", "State"),
            ("vpc-id", "VpcId"),
        ],
        ..KIND
    },
    Kind {
        operation: "DescribeSubnets",
        list: "subnetSet",
        shape: "Subnet",
        elements: |account| &account.subnets,
        id: "SubnetId",
        not_found: "InvalidSubnetID.NotFound",
        filters: &[
            ("availability-zone", "AvailabilityZone"),
            ("cidr-block", "CidrBlock"),
            ("owner-id", "OwnerId"),
            ("state", "State"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
        ..KIND
    },
    Kind {
        operation: "DescribeDhcpOptions",
        list: "dhcpOptionsSet",
        shape: "DhcpOptions",
        elements: |account| &account.dhcp_options,
        id: "DhcpOptionsId",
        not_found: "InvalidDhcpOptionsID.NotFound",
        filters: &[
            ("dhcp-options-id", "DhcpOptionsId"),
            ("key", "DhcpConfigurations.Key"),
            ("owner-id", "OwnerId"),
            ("value", "DhcpConfigurations.Values.Value"),
        ],
        ..KIND
    },
    Kind {
        operation: "DescribeNatGateways",
        list: "natGatewaySet",
        shape: "NatGateway",
        elements: |account| &account.nat_gateways,
        id: "NatGatewayId",
        not_found: "NatGatewayNotFound",
        filters: &[
            ("nat-gateway-id", "NatGatewayId"),
            ("state", "State"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
        ..KIND
    },
    Kind {
        operation: "DescribeRouteTables",
        list: "routeTableSet",
        shape: "RouteTable",
        elements: |account| &account.route_tables,
        id: "RouteTableId",
        not_found: "InvalidRouteTableID.NotFound",
        filters: &[
            ("association.main", "Associations.Main"),
            ("association.subnet-id", "Associations.SubnetId"),
            ("owner-id", "OwnerId"),
            ("route.nat-gateway-id", "Routes.NatGatewayId"),
            ("route-table-id", "RouteTableId"),
            ("vpc-id", "VpcId"),
        ],
        ..KIND
    },
    Kind {
        operation: "DescribeSecurityGroups",
        list: "securityGroupInfo",
        shape: "SecurityGroup",
        elements: |account| &account.security_groups,
        id: "GroupId",
        not_found: "InvalidGroup.NotFound",
        filters: &[
            ("description", "Description"),
            ("group-id", "GroupId"),
            ("group-name", "GroupName"),
            ("owner-id", "OwnerId"),
            ("vpc-id", "VpcId"),
        ],
        ..KIND
    },
];

/// Answers a call.
pub(super) fn answer(account: &Account, call: &Call, request_id: &str) -> Result<Response, ApiError> {
    let content = match KINDS.iter().find(|kind| kind.operation == call.operation) {
        Some(kind) => describe(account, call, kind)?,
        None if call.operation == "DescribeRegions" => describe_regions(account),
        None if call.operation == "DescribeVpcAttribute" => describe_vpc_attribute(account, call)?,
        None => {
            let message = format!("The action {} is not valid for this web service.", call.operation);
            return Err(ApiError::new(400, "InvalidAction", message));
        }
    };
    let operation = &call.operation;
    let body = format!(
        "{}<{operation}Response xmlns=\"{}\"><requestId>{request_id}</requestId>{content}\
         </{operation}Response>",
        xml::PROLOGUE,
        xml::EC2_NAMESPACE
    );
    Ok(Response { status: 200, content_type: xml::CONTENT_TYPE, headers: Vec::new(), body })
}

fn describe_regions(account: &Account) -> String {
    let mut content = "<regionInfo>".to_owned();
    for region in &account.regions {
        let name = xml::escape(region);
        content.extend(["<item><regionName>", &name, "</regionName></item>"]);
    }
    content + "</regionInfo>"
}

/// One page of the elements that a call asks for.
fn describe(account: &Account, call: &Call, kind: &Kind) -> Result<String, ApiError> {
    refuse_unknown_parameters(call, kind)?;
    let elements = selected(account, call, kind)?;
    let token = match call.parameter("NextToken").map(Token::parse) {
        None => None,
        Some(Some(token)) => Some(token),
        Some(None) => return Err(ApiError::new(400, "InvalidNextToken", "The token is not valid.")),
    };
    let size = page_size(call, kind)?.min(account.page_size.unwrap_or(PAGE));
    let (elements, next) = page(&elements, size, token);
    let mut content = format!("<{}>", kind.list);
    for element in elements {
        content.push_str("<item>");
        xml::write_structure(&mut content, kind.shape, element).map_err(|problem| {
            ApiError::new(500, "InternalError", format!("the test's account: {problem}"))
        })?;
        content.push_str("</item>");
    }
    content.extend(["</", kind.list, ">"]);
    if let Some(next) = next {
        content.extend(["<nextToken>", &xml::escape(&next.write()), "</nextToken>"]);
    }
    Ok(content)
}

/// All elements that a call's ids and filters ask for. Of an element with an inner list, the part asked for.
fn selected<'a>(account: &'a Account, call: &Call, kind: &Kind) -> Result<Vec<Cow<'a, Value>>, ApiError> {
    let ids = call.numbered(kind.id);
    let filters = Filter::of_call(call, kind.filters, kind.tags)?;
    let all_managed = !kind.managed || call.parameter("IncludeManagedResources") == Some("true");
    let wanted = |element: &Value| {
        (ids.is_empty() || ids.iter().any(|id| element[kind.id] == *id))
            && (all_managed || element["Operator"]["Managed"] != true)
            && filters.iter().all(|filter| filter.matches(element))
    };
    let elements = (kind.elements)(account);
    for id in &ids {
        let named = |element: &Value| element[kind.id] == *id;
        let known = elements.iter().any(|element| match kind.inner {
            Some(inner) => element[inner].as_array().is_some_and(|inner| inner.iter().any(named)),
            None => named(element),
        });
        if !known {
            return Err(ApiError::new(400, kind.not_found, format!("The ID '{id}' does not exist")));
        }
    }
    let Some(inner) = kind.inner else {
        return Ok(elements.iter().filter(|element| wanted(element)).map(Cow::Borrowed).collect());
    };
    let mut selected = elements.to_vec();
    selected.retain_mut(|element| match &mut element[inner] {
        Value::Array(inner) => {
            inner.retain(&wanted);
            !inner.is_empty()
        }
        _ => false,
    });
    Ok(selected.into_iter().map(Cow::Owned).collect())
}

/// How many elements the call wants on a page. EC2 takes 5 to 1000, and no number at all beside ids.
fn page_size(call: &Call, kind: &Kind) -> Result<usize, ApiError> {
    let Some(text) = call.parameter("MaxResults") else { return Ok(PAGE) };
    if !call.numbered(kind.id).is_empty() {
        let message = format!("The parameter {} cannot be used with the parameter maxResults", kind.id);
        return Err(ApiError::new(400, "InvalidParameterCombination", message));
    }
    if let Ok(size @ 5..=PAGE) = text.parse() {
        return Ok(size);
    }
    let message = format!("Value ( {text} ) for parameter maxResults is invalid. Expecting 5 to 1000.");
    Err(ApiError::new(400, "InvalidParameterValue", message))
}

/// A parameter that is not honoured must not look as if it were.
fn refuse_unknown_parameters(call: &Call, kind: &Kind) -> Result<(), ApiError> {
    let numbered = |name: &str, list: &str| {
        name.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.is_empty())
    };
    let known = |name: &str| match name {
        "MaxResults" | "NextToken" => true,
        "IncludeManagedResources" => kind.managed,
        _ => numbered(name, "Filter") || numbered(name, kind.id),
    };
    match call.parameters.keys().find(|name| !known(name)) {
        Some(name) => {
            let message = format!("The parameter {name} is not recognized");
            Err(ApiError::new(400, "UnknownParameter", message))
        }
        None => Ok(()),
    }
}

fn describe_vpc_attribute(account: &Account, call: &Call) -> Result<String, ApiError> {
    let vpc = call.parameter("VpcId").unwrap_or_default();
    if !account.vpcs.iter().any(|known| known["VpcId"] == vpc) {
        let message = format!("The vpc ID '{vpc}' does not exist");
        return Err(ApiError::new(400, "InvalidVpcID.NotFound", message));
    }
    let (attribute, enabled) = match call.parameter("Attribute") {
        Some(name @ "enableDnsSupport") => (name, account.dns_support),
        Some(name @ "enableDnsHostnames") => (name, account.dns_hostnames),
        other => {
            let message =
                format!("Value ({}) for parameter attribute is invalid.", other.unwrap_or_default());
            return Err(ApiError::new(400, "InvalidParameterValue", message));
        }
    };
    let vpc = xml::escape(vpc);
    Ok(format!("<vpcId>{vpc}</vpcId><{attribute}><value>{enabled}</value></{attribute}>"))
}
