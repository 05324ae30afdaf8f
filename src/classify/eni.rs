//! Classification of network interfaces by what they belong to.
//!
//! The EKS-owned ENIs of a cluster are identified by structure *and* description, since
//! no single attribute suffices. The requester differs from the owner for almost all
//! interfaces that an AWS service created. The instance owner differs from the owner
//! also for load balancers, databases and Fargate. A prefix of the description also
//! matches clusters whose names begin with the same characters.
//!
//! <https://docs.aws.amazon.com/eks/latest/best-practices/subnets.html>

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::model::cluster::{Cluster, Hosting};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{Attachment, EKS_DESCRIPTION, INTERFACES, Interface};

/// How many EKS-owned ENIs are compared with each node or place. EKS keeps two to four.
pub(super) const ENIS_MAX: usize = 64;

/// The account of a cluster whose ARN tells none, if ENIs of several accounts may be its
/// EKS-owned ENIs, as in a shared VPC: that of the ENIs with the cluster security group.
/// `None` if the account decides nothing.
///
/// # Errors
/// The gap, if the security group does not decide either.
pub(super) fn owner(evidence: &Evidence) -> Result<Option<String>, Gap> {
    let cluster = &evidence.cluster;
    if cluster.account().is_some() {
        return Ok(None);
    }
    let interfaces = evidence.network.interfaces.seen().into_iter().flatten();
    let candidates: Vec<_> = interfaces.filter(|interface| interface.is_eks_owned(cluster)).collect();
    let owners: BTreeSet<_> = candidates.iter().map(|interface| interface.owner.as_str()).collect();
    if owners.len() < 2 {
        return Ok(None);
    }
    let has_group = |interface: &Interface| {
        cluster.security_group.as_ref().is_some_and(|id| interface.groups.contains(id))
    };
    let with_group = candidates.iter().filter(|interface| has_group(interface));
    let with_group: BTreeSet<_> = with_group.map(|interface| interface.owner.as_str()).collect();
    if let [only] = *Vec::from_iter(with_group) {
        return Ok(Some(only.to_owned()));
    }
    let detail = format!(
        "the accounts {} have ENIs with the description of this cluster's, and its account is not recorded, so which of them are this cluster's is not known",
        Vec::from_iter(owners).join(" and ")
    );
    Err(evidence.gap(INTERFACES, GapReason::Incomplete, detail))
}

/// Classifies an interface. `owner` is the account of the cluster, if it was derived;
/// `nodes` are the instance ids of the cluster's nodes.
pub(super) fn classify_interface(
    interface: Arc<Interface>,
    cluster: &Cluster,
    owner: Option<&str>,
    nodes: &HashSet<&str>,
) -> ClassifiedInterface {
    let (kind, why) = eks_owned(&interface, cluster, owner).unwrap_or_else(|| {
        (other_kind(&interface, nodes), why_not_eks_owned(&interface, cluster).unwrap_or_default())
    });
    ClassifiedInterface { interface, kind, why }
}

fn eks_owned(
    interface: &Interface,
    cluster: &Cluster,
    owner: Option<&str>,
) -> Option<(InterfaceKind, String)> {
    let name = interface.description.strip_prefix(EKS_DESCRIPTION)?;
    // A local cluster on Outposts has its control plane in the customer's account.
    if !interface.has_eks_owned_structure() || cluster.hosting == Hosting::Outposts {
        return None;
    }
    let account = interface.foreign_account(interface.attachment.as_ref()?)?;
    if !interface.is_eks_owned(cluster) || owner.is_some_and(|owner| owner != interface.owner) {
        let in_vpc = cluster.vpc.as_deref() == Some(&interface.vpc);
        let of = if name != cluster.name {
            "another cluster".to_owned()
        } else if in_vpc {
            format!("a cluster with the same name in account {}", interface.owner)
        } else {
            "a cluster with the same name in another VPC".to_owned()
        };
        return Some((
            InterfaceKind::OtherCluster,
            format!("the control plane of {of}: its description is {:?}", interface.description),
        ));
    }
    let mut why = format!(
        "attached to an instance of account {account}, while account {} owns the ENI; it is in the cluster's VPC, and its description is {:?}",
        interface.owner, interface.description
    );
    if let Some(group) = cluster.security_group.as_ref().filter(|group| interface.groups.contains(group)) {
        why.push_str("; it has the cluster security group ");
        why.push_str(group);
    }
    if cluster.subnets.contains(&interface.subnet) {
        why.push_str("; its subnet is one of the cluster's subnets");
    }
    Some((InterfaceKind::EksOwned, why))
}

/// The reason why an interface with the description of the cluster's EKS-owned ENIs is
/// not classified as one.
fn why_not_eks_owned(interface: &Interface, cluster: &Cluster) -> Option<String> {
    let name = interface.description.strip_prefix(EKS_DESCRIPTION)?;
    if name != cluster.name {
        return None;
    }
    let why = match &interface.attachment {
        _ if cluster.hosting == Hosting::Outposts => "the cluster is a local cluster on Outposts".to_owned(),
        _ if interface.interface_type != "interface" => format!("its type is {:?}", interface.interface_type),
        None => "it is not attached".to_owned(),
        Some(attachment) if !attachment.is_attached() => "it is detached or being detached".to_owned(),
        Some(Attachment { instance: Some(instance), .. }) => {
            format!("it is attached to {instance}; the attachment of an EKS-owned ENI shows no instance id")
        }
        Some(Attachment { instance_owner, .. }) => {
            format!(
                "its instance owner is {}, which is not another AWS account",
                instance_owner.as_deref().unwrap_or("unknown")
            )
        }
    };
    Some(format!("has the description of an EKS-owned ENI but is not classified as one: {why}"))
}

fn other_kind(interface: &Interface, nodes: &HashSet<&str>) -> InterfaceKind {
    let description = interface.description.as_str();
    let attachment = interface.attachment.as_ref();
    let instance_owner =
        attachment.and_then(|attachment| attachment.instance_owner.as_deref()).unwrap_or_default();
    let requester = interface.requester.as_deref().unwrap_or_default();
    // These have an interface type of their own.
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
    // All others have the type `interface`: check the service first, then the instance
    // and the description.
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
            // Secondary interfaces of a node are for its pods.
            if is_primary { InterfaceKind::Node } else { InterfaceKind::VpcCni }
        } else {
            InterfaceKind::Instance
        };
    }
    let by_description: [(&str, InterfaceKind); 7] = [
        ("aws-K8S-", InterfaceKind::VpcCni),
        ("Interface for NAT Gateway ", InterfaceKind::NatGateway),
        ("VPC Endpoint Interface ", InterfaceKind::VpcEndpoint),
        ("AWS Lambda VPC ENI", InterfaceKind::Lambda),
        ("EFS mount target for ", InterfaceKind::Efs),
        ("AWS created network interface for directory ", InterfaceKind::DirectoryService),
        ("Network Interface for Transit Gateway Attachment ", InterfaceKind::TransitGateway),
    ];
    if let Some((_, kind)) = by_description.iter().find(|(prefix, _)| description.starts_with(prefix)) {
        return *kind;
    }
    // Fargate uses ECS task attachments, for ECS tasks and EKS pods.
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
            access: EndpointAccess::Private,
            vpc: Some("vpc-1".to_owned()),
            ..Cluster::unknown()
        }
    }

    fn eks_owned_eni() -> Interface {
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
        let mut interface = eks_owned_eni();
        change(&mut interface);
        classify_interface(Arc::new(interface), &cluster(), None, &HashSet::new()).kind
    }

    fn attachment(interface: &mut Interface) -> &mut Attachment {
        interface.attachment.as_mut().expect("an attachment")
    }

    #[test]
    fn eks_owned_requires_structure_and_description() {
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
    fn in_a_shared_vpc_the_account_of_the_cluster_owns_its_enis() {
        for (account, expected) in [
            ("111122223333", InterfaceKind::EksOwned),
            ("999988887777", InterfaceKind::OtherCluster),
            ("XXXXXXXXXXXX", InterfaceKind::EksOwned),
            ("", InterfaceKind::EksOwned),
        ] {
            let arn = format!("arn:aws:eks:eu-west-1:{account}:cluster/myeks");
            let cluster = Cluster { arn: Some(arn), ..cluster() };
            let known = classify_interface(Arc::new(eks_owned_eni()), &cluster, None, &HashSet::new());
            assert_eq!(known.kind, expected, "{account}: {}", known.why);
        }
    }

    #[test]
    fn classification_is_explained() {
        let why = |change: fn(&mut Interface)| {
            let mut interface = eks_owned_eni();
            change(&mut interface);
            classify_interface(Arc::new(interface), &cluster(), None, &HashSet::new()).why
        };
        assert!(why(|_| {}).contains("account 444455556666, while account 111122223333 owns the ENI"));
        assert!(why(|eni| eni.attachment = None).contains("it is not attached"));
        assert!(why(|eni| attachment(eni).instance = Some("i-1".to_owned())).contains("attached to i-1"));
    }

    #[test]
    fn local_clusters_have_no_eks_owned_enis() {
        let cluster = Cluster { hosting: Hosting::Outposts, ..cluster() };
        assert_eq!(
            classify_interface(Arc::new(eks_owned_eni()), &cluster, None, &HashSet::new()).kind,
            InterfaceKind::Unknown
        );
    }
}
