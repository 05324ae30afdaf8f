//! Whose a network interface is.
//!
//! The control plane's interfaces are told by structure *and* name. "Requester
//! differs from owner" is true of nearly every interface that a service made;
//! "instance owner differs from owner" is true of load balancers, databases and
//! Fargate as well; a description's beginning matches sibling clusters.
//!
//! <https://docs.aws.amazon.com/eks/latest/best-practices/subnets.html>

use std::collections::HashSet;

use crate::model::cluster::{Cluster, Hosting};
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::net::{Attachment, Interface};

/// What EKS writes before a cluster's name.
const EKS_DESCRIPTION: &str = "Amazon EKS ";

/// Tells whose an interface is, and why. `nodes` are the ids of the cluster's
/// instances.
pub(super) fn classify_interface(
    interface: Interface,
    cluster: &Cluster,
    nodes: &HashSet<&str>,
) -> ClassifiedInterface {
    let (kind, why) = eks_owned(&interface, cluster).unwrap_or_else(|| {
        (other_kind(&interface, nodes), near_miss(&interface, cluster).unwrap_or_default())
    });
    ClassifiedInterface { interface, kind, why }
}

/// Whether the interface has the structure of a control plane's: attached to
/// an instance that another AWS account owns and that its owner cannot see.
fn is_control_planes(interface: &Interface) -> bool {
    interface.interface_type == "interface"
        && interface.attachment.as_ref().is_some_and(|attachment| {
            is_attached(attachment)
                && attachment.instance.is_none()
                && foreign_account(interface, attachment).is_some()
        })
}

fn is_attached(attachment: &Attachment) -> bool {
    !matches!(attachment.status.as_deref(), Some("detached" | "detaching"))
}

/// The instance owner, if it is an account and not the interface's own.
fn foreign_account<'a>(interface: &Interface, attachment: &'a Attachment) -> Option<&'a str> {
    let account = attachment.instance_owner.as_deref()?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_account && !interface.owner.is_empty() && account != interface.owner).then_some(account)
}

fn eks_owned(interface: &Interface, cluster: &Cluster) -> Option<(InterfaceKind, String)> {
    let name = interface.description.strip_prefix(EKS_DESCRIPTION)?;
    // A local cluster on Outposts has its control plane in the customer's account.
    if !is_control_planes(interface) || cluster.hosting == Hosting::Outposts {
        return None;
    }
    let account = foreign_account(interface, interface.attachment.as_ref()?)?;
    let in_vpc = cluster.vpc.as_deref() == Some(&interface.vpc);
    if name != cluster.name || !in_vpc {
        let of =
            if name == cluster.name { "a cluster of that name in another VPC" } else { "another cluster" };
        return Some((
            InterfaceKind::OtherCluster,
            format!("the control plane of {of}: its description is {:?}", interface.description),
        ));
    }
    let mut why = format!(
        "attached to an instance of account {account}, which is not its owner {}, in the cluster's VPC, and described as {:?}",
        interface.owner, interface.description
    );
    if let Some(group) = cluster.security_group.as_ref().filter(|group| interface.groups.contains(group)) {
        why.push_str("; it has the cluster security group ");
        why.push_str(group);
    }
    if cluster.subnets.contains(&interface.subnet) {
        why.push_str("; its subnet is one of the cluster's");
    }
    Some((InterfaceKind::EksOwned, why))
}

/// Why an interface that claims to be the control plane's is not taken for it.
fn near_miss(interface: &Interface, cluster: &Cluster) -> Option<String> {
    let name = interface.description.strip_prefix(EKS_DESCRIPTION)?;
    if name != cluster.name {
        return None;
    }
    let why = match &interface.attachment {
        _ if cluster.hosting == Hosting::Outposts => "the cluster is a local one on Outposts".to_owned(),
        _ if interface.interface_type != "interface" => format!("its type is {:?}", interface.interface_type),
        None => "it is attached to nothing".to_owned(),
        Some(attachment) if !is_attached(attachment) => "it is not attached any more".to_owned(),
        Some(Attachment { instance: Some(instance), .. }) => {
            format!("it is attached to {instance}, which its owner can see")
        }
        Some(Attachment { instance_owner, .. }) => {
            format!(
                "its instance owner is {}, no other account",
                instance_owner.as_deref().unwrap_or("unknown")
            )
        }
    };
    Some(format!("described as the control plane's, yet not taken for it: {why}"))
}

fn other_kind(interface: &Interface, nodes: &HashSet<&str>) -> InterfaceKind {
    let description = interface.description.as_str();
    let attachment = interface.attachment.as_ref();
    let instance_owner =
        attachment.and_then(|attachment| attachment.instance_owner.as_deref()).unwrap_or_default();
    let requester = interface.requester.as_deref().unwrap_or_default();
    // EC2 knows these by type.
    match interface.interface_type.as_str() {
        "trunk" => return InterfaceKind::Trunk,
        "branch" => return InterfaceKind::Branch,
        "nat_gateway" => return InterfaceKind::NatGateway,
        "load_balancer" | "network_load_balancer" | "gateway_load_balancer" => {
            return InterfaceKind::LoadBalancer;
        }
        "vpc_endpoint" | "gateway_load_balancer_endpoint" => return InterfaceKind::VpcEndpoint,
        "transit_gateway" => return InterfaceKind::TransitGateway,
        "lambda" => return InterfaceKind::Lambda,
        "efs" => return InterfaceKind::Efs,
        _ => {}
    }
    // The rest have no type of their own: who made it, then what it says.
    if instance_owner == "amazon-elb" || requester == "amazon-elb" || description.starts_with("ELB ") {
        return InterfaceKind::LoadBalancer;
    }
    if instance_owner == "amazon-rds" || requester == "amazon-rds" || description == "RDSNetworkInterface" {
        return InterfaceKind::Rds;
    }
    if let Some(instance) = attachment.and_then(|attachment| attachment.instance.as_deref()) {
        let is_primary = attachment.is_some_and(|attachment| attachment.device_index == Some(0));
        return if description.starts_with("aws-K8S-") {
            InterfaceKind::VpcCni
        } else if nodes.contains(instance) {
            // What a node has beside its primary interface is for its pods.
            if is_primary { InterfaceKind::Node } else { InterfaceKind::VpcCni }
        } else {
            InterfaceKind::Instance
        };
    }
    let says: [(&str, InterfaceKind); 7] = [
        ("aws-K8S-", InterfaceKind::VpcCni),
        ("Interface for NAT Gateway ", InterfaceKind::NatGateway),
        ("VPC Endpoint Interface ", InterfaceKind::VpcEndpoint),
        ("AWS Lambda VPC ENI", InterfaceKind::Lambda),
        ("EFS mount target for ", InterfaceKind::Efs),
        ("AWS created network interface for directory ", InterfaceKind::DirectoryService),
        ("Network Interface for Transit Gateway Attachment ", InterfaceKind::TransitGateway),
    ];
    if let Some((_, kind)) = says.iter().find(|(beginning, _)| description.starts_with(beginning)) {
        return *kind;
    }
    // Fargate's interfaces are those of ECS task attachments.
    if description.contains(":ecs:") && description.contains(":attachment/")
        || description.to_ascii_lowercase().contains("fargate")
    {
        return InterfaceKind::Fargate;
    }
    InterfaceKind::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::EndpointAccess;

    fn cluster() -> Cluster {
        Cluster {
            name: "myeks".to_owned(),
            arn: None,
            status: None,
            hosting: Hosting::Region,
            endpoint: None,
            access: EndpointAccess::Private,
            vpc: Some("vpc-1".to_owned()),
            subnets: Vec::new(),
            security_group: None,
            cluster_ips: Vec::new(),
            egress_mode: None,
            auto_mode: false,
            hybrid_nodes_enabled: false,
        }
    }

    fn true_signature() -> Interface {
        Interface {
            id: "eni-1".to_owned(),
            description: "Amazon EKS myeks".to_owned(),
            interface_type: "interface".to_owned(),
            vpc: "vpc-1".to_owned(),
            owner: "111122223333".to_owned(),
            requester: Some("AROAEXAMPLE:AmazonEKS".to_owned()),
            attachment: Some(Attachment {
                instance: None,
                instance_owner: Some("444455556666".to_owned()),
                device_index: Some(1),
                status: Some("attached".to_owned()),
            }),
            ..Interface::default()
        }
    }

    fn kind(change: impl FnOnce(&mut Interface)) -> InterfaceKind {
        let mut interface = true_signature();
        change(&mut interface);
        classify_interface(interface, &cluster(), &HashSet::new()).kind
    }

    fn attachment(interface: &mut Interface) -> &mut Attachment {
        interface.attachment.as_mut().expect("an attachment")
    }

    #[test]
    fn the_true_signature_and_nothing_less() {
        assert_eq!(kind(|_| {}), InterfaceKind::EksOwned);
        assert_eq!(kind(|eni| eni.requester = None), InterfaceKind::EksOwned);
        for other in [
            "Amazon EKS myeks-2",
            "Amazon EKS my",
            "Amazon EKS MYEKS",
            "Amazon EKS  myeks",
            "Amazon EKS myeks ",
        ] {
            assert_eq!(
                kind(|eni| eni.description = other.to_owned()),
                InterfaceKind::OtherCluster,
                "{other:?}"
            );
        }
        assert_eq!(kind(|eni| eni.vpc = "vpc-2".to_owned()), InterfaceKind::OtherCluster);
        assert_eq!(kind(|eni| eni.description = "amazon eks myeks".to_owned()), InterfaceKind::Unknown);
        assert_eq!(kind(|eni| eni.attachment = None), InterfaceKind::Unknown);
        assert_eq!(kind(|eni| attachment(eni).status = Some("detaching".to_owned())), InterfaceKind::Unknown);
        assert_eq!(
            kind(|eni| attachment(eni).instance_owner = Some("111122223333".to_owned())),
            InterfaceKind::Unknown
        );
        assert_eq!(
            kind(|eni| attachment(eni).instance_owner = Some("amazon-aws".to_owned())),
            InterfaceKind::Unknown
        );
        assert_eq!(kind(|eni| attachment(eni).instance_owner = None), InterfaceKind::Unknown);
        assert_eq!(kind(|eni| attachment(eni).instance = Some("i-1".to_owned())), InterfaceKind::Instance);
        assert_eq!(kind(|eni| eni.interface_type = "branch".to_owned()), InterfaceKind::Branch);
    }

    #[test]
    fn a_near_miss_says_why() {
        let why = |change: fn(&mut Interface)| {
            let mut interface = true_signature();
            change(&mut interface);
            classify_interface(interface, &cluster(), &HashSet::new()).why
        };
        assert!(why(|_| {}).contains("account 444455556666, which is not its owner 111122223333"));
        assert!(why(|eni| eni.attachment = None).contains("attached to nothing"));
        assert!(why(|eni| attachment(eni).instance = Some("i-1".to_owned())).contains("attached to i-1"));
    }

    #[test]
    fn outposts_have_no_such_interfaces() {
        let cluster = Cluster { hosting: Hosting::Outposts, ..cluster() };
        assert_eq!(
            classify_interface(true_signature(), &cluster, &HashSet::new()).kind,
            InterfaceKind::Unknown
        );
    }
}
