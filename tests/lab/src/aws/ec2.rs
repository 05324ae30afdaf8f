//! EC2: query protocol, XML responses.

use std::borrow::Cow;

use serde_json::Value;

use super::account::Account;
use super::call::{Call, PageToken};
use super::error::ApiError;
use super::select::{Filter, paginate};
use super::xml;
use crate::http::Response;

/// The maximum page size, and the default.
const MAX_PAGE_SIZE: usize = 1000;

/// A `Describe` operation and the kind of resource it returns.
struct Describe {
    operation: &'static str,
    /// The XML element with the list of resources in the response.
    list: &'static str,
    /// The shape of a list element, by its name in `shapes.txt`.
    shape: &'static str,
    /// The list elements in the account.
    elements: fn(&Account) -> &[Value],
    /// The key of a resource's ID, which is also the parameter that selects resources by ID.
    id: &'static str,
    /// The error code for an unknown ID.
    not_found: &'static str,
    /// The key of the list within an element that filters and IDs apply to, if not to the element itself.
    inner: Option<&'static str>,
    /// The key of the tags.
    tags: &'static str,
    /// The names of the supported filters, other than tag filters, each with the path of its values.
    filters: &'static [(&'static str, &'static str)],
    /// Whether service-managed resources are omitted unless the call sets `IncludeManagedResources`.
    omits_managed: bool,
}

/// The defaults of most operations.
const DEFAULTS: Describe = Describe {
    operation: "",
    list: "",
    shape: "",
    elements: |_| &[],
    id: "",
    not_found: "",
    inner: None,
    tags: "Tags",
    filters: &[],
    omits_managed: false,
};

static OPERATIONS: &[Describe] = &[
    Describe {
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
        omits_managed: true,
        ..DEFAULTS
    },
    Describe {
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
            ("operator.principal", "Operator.Principal"),
            ("private-dns-name", "PrivateDnsName"),
            ("private-ip-address", "PrivateIpAddress"),
            ("subnet-id", "SubnetId"),
            ("vpc-id", "VpcId"),
        ],
        omits_managed: true,
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
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
        ..DEFAULTS
    },
    Describe {
        operation: "DescribeNetworkAcls",
        list: "networkAclSet",
        shape: "NetworkAcl",
        elements: |account| &account.network_acls,
        id: "NetworkAclId",
        not_found: "InvalidNetworkAclID.NotFound",
        filters: &[
            ("association.subnet-id", "Associations.SubnetId"),
            ("default", "IsDefault"),
            ("network-acl-id", "NetworkAclId"),
            ("owner-id", "OwnerId"),
            ("vpc-id", "VpcId"),
        ],
        ..DEFAULTS
    },
];

/// Responds to a call.
pub(super) fn respond(account: &Account, call: &Call, request_id: &str) -> Result<Response, ApiError> {
    let content = match OPERATIONS.iter().find(|describe| describe.operation == call.operation) {
        Some(operation) => describe(account, call, operation)?,
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

/// The page of resources that a call requests.
fn describe(account: &Account, call: &Call, operation: &Describe) -> Result<String, ApiError> {
    reject_unknown_parameters(call, operation)?;
    let elements = select(account, call, operation)?;
    let token = match call.parameter("NextToken").map(PageToken::parse) {
        None => None,
        Some(Some(token)) => Some(token),
        Some(None) => return Err(ApiError::new(400, "InvalidNextToken", "The token is not valid.")),
    };
    let size = page_size(call, operation)?.min(account.page_size.unwrap_or(MAX_PAGE_SIZE));
    let (elements, next) = paginate(&elements, size, token);
    let mut content = format!("<{}>", operation.list);
    for element in elements {
        content.push_str("<item>");
        xml::write_structure(&mut content, operation.shape, element).map_err(|problem| {
            ApiError::new(500, "InternalError", format!("invalid data in the test account: {problem}"))
        })?;
        content.push_str("</item>");
    }
    content.extend(["</", operation.list, ">"]);
    if let Some(next) = next {
        content.extend(["<nextToken>", &xml::escape(&next.write()), "</nextToken>"]);
    }
    Ok(content)
}

/// The list elements that match a call's IDs and filters. An inner list is reduced to its matching elements.
fn select<'a>(
    account: &'a Account,
    call: &Call,
    operation: &Describe,
) -> Result<Vec<Cow<'a, Value>>, ApiError> {
    let ids = call.list_parameter(operation.id);
    let filters = Filter::from_call(call, operation.filters, operation.tags)?;
    let includes_managed =
        !operation.omits_managed || call.parameter("IncludeManagedResources") == Some("true");
    let is_selected = |element: &Value| {
        (ids.is_empty() || ids.iter().any(|id| element[operation.id] == *id))
            && (includes_managed || element["Operator"]["Managed"] != true)
            && filters.iter().all(|filter| filter.matches(element))
    };
    let elements = (operation.elements)(account);
    for id in &ids {
        let has_id = |element: &Value| element[operation.id] == *id;
        let known = elements.iter().any(|element| match operation.inner {
            Some(inner) => element[inner].as_array().is_some_and(|inner| inner.iter().any(has_id)),
            None => has_id(element),
        });
        if !known {
            return Err(ApiError::new(400, operation.not_found, format!("The ID '{id}' does not exist")));
        }
    }
    let Some(inner) = operation.inner else {
        return Ok(elements.iter().filter(|element| is_selected(element)).map(Cow::Borrowed).collect());
    };
    let mut selected = elements.to_vec();
    selected.retain_mut(|element| match &mut element[inner] {
        Value::Array(inner) => {
            inner.retain(&is_selected);
            !inner.is_empty()
        }
        _ => false,
    });
    Ok(selected.into_iter().map(Cow::Owned).collect())
}

/// The page size that a call requests. EC2 accepts 5 to 1000, and rejects `MaxResults` together with IDs.
fn page_size(call: &Call, operation: &Describe) -> Result<usize, ApiError> {
    let Some(text) = call.parameter("MaxResults") else { return Ok(MAX_PAGE_SIZE) };
    if !call.list_parameter(operation.id).is_empty() {
        let message = format!("The parameter {} cannot be used with the parameter maxResults", operation.id);
        return Err(ApiError::new(400, "InvalidParameterCombination", message));
    }
    if let Ok(size @ 5..=MAX_PAGE_SIZE) = text.parse() {
        return Ok(size);
    }
    let message = format!("Value ( {text} ) for parameter maxResults is invalid. Expecting 5 to 1000.");
    Err(ApiError::new(400, "InvalidParameterValue", message))
}

/// Rejects a call with a parameter that this server does not implement, rather than ignore the parameter.
fn reject_unknown_parameters(call: &Call, operation: &Describe) -> Result<(), ApiError> {
    let is_list_item = |name: &str, list: &str| {
        name.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.is_empty())
    };
    let known = |name: &str| match name {
        "MaxResults" | "NextToken" => true,
        "IncludeManagedResources" => operation.omits_managed,
        _ => is_list_item(name, "Filter") || is_list_item(name, operation.id),
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
