//! The enum values of the JSON formats, separate from the enums of the model.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cluster::EndpointAccess;
use crate::model::facts::InterfaceKind;
use crate::model::gap::GapReason;
use crate::model::node::NodeStatus;
use crate::model::{
    architecture, audit, baseline, compliance, connection, judgment, reachability, rule, seen_from,
    simulation, traffic,
};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Access {
    Public,
    PublicAndPrivate,
    Private,
    Unknown,
}

impl From<&EndpointAccess> for Access {
    fn from(access: &EndpointAccess) -> Self {
        match access {
            EndpointAccess::Public { .. } => Self::Public,
            EndpointAccess::PublicAndPrivate { .. } => Self::PublicAndPrivate,
            EndpointAccess::Private => Self::Private,
            EndpointAccess::Unknown { .. } => Self::Unknown,
        }
    }
}

/// Defines the enum of JSON values for an enum of the model.
macro_rules! words {
    ($($name:ident of $model:ty { $($(#[$rename:meta])? $variant:ident),* $(,)? })*) => { $(
        #[derive(Debug, serde::Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum $name { $($(#[$rename])? $variant),* }

        impl From<$model> for $name {
            fn from(word: $model) -> Self {
                match word { $(<$model>::$variant => Self::$variant),* }
            }
        }
    )* };
}

pub(super) use words;

words! {
    Direction of connection::Direction { Outbound, Inbound, None }
    Path of connection::Path { PublicEndpoint, PrivateEni, ClusterIp, Vpc, Loopback, Unattributed, Other }
    By of connection::By { Dns, Eni, #[serde(rename = "endpointslice")] EndpointSlice, ServiceCidr, VpcCidr, Tls, None }
    ControlStatus of judgment::ControlStatus { Pass, Waived, Unknown, Fail }
    Mapping of compliance::Mapping { Same, Aws, Own }
    PlaceKind of seen_from::PlaceKind { Operator, Node, Other }
    Resolves of seen_from::Resolves { Yes, No, Unknown }
    SeenBy of seen_from::SeenBy { Dns, Socket, Probe }
    SightResult of architecture::SightResult { Connected, Answered, Hanging, Failed, Resolves }
    LegKind of architecture::LegKind { OperatorToApi, NodeToApi, ApiToKubelet }
    DifferenceKind of architecture::DifferenceKind {
        Stale, OtherPath, Dns, Hanging, Unreached, Unattributed,
    }
    TrafficPath of traffic::TrafficPath { Public, Private, Mixed, None, Unknown }
    Status of NodeStatus { Read, NoProcessNames, Unreachable, NotSupported, Malformed }
    Kind of InterfaceKind {
        EksOwned, OtherCluster, Node, Instance, VpcCni, Trunk, Branch, NatGateway, LoadBalancer, VpcEndpoint,
        TransitGateway, Rds, Lambda, Efs, Fargate, DirectoryService, Unknown,
    }
    Reaches of reachability::Reaches { Yes, No, Unknown }
    ClientPath of simulation::ClientPath { Public, Private, ClusterIp, Mixed, None, Unknown }
    Effect of simulation::Effect { Breaks, Interrupted, Unknown, Moves, Gains, Unchanged }
    ClientKind of simulation::ClientKind {
        Kubelet, KubeProxy, Agent, Node, HybridNode, FargatePod, Pods, Operator,
        #[serde(rename = "client")] Named,
    }
    Outcome of simulation::SimulationVerdict { Safe, Breaks, Unknown }
    BaselineState of baseline::BaselineState { New, Worse, Unchanged }
    Severity of rule::Severity { Low, Medium, High, Critical }
    Verdict of judgment::Verdict { Pass, Fail, Inconclusive }
    PolicyOrigin of audit::PolicyOrigin { Default, Found, Named }
    PolicyNoteKind of judgment::PolicyNoteKind {
        WaiverExpired, WaiverUnused, AcceptanceExpired, AcceptanceUnused, CidrExpired,
    }
    Why of GapReason {
        NotRecorded, Incomplete, NotSupported, Malformed, NoProcessNames, Unreachable, NoAnswer, AccessDenied,
        NoCredentials, NotAsked, TimedOut, TooMuchOutput, NameNotResolved, ConnectionRefused, ConnectionLost, HostKeyUnknown,
        HostKeyChanged, LoginRefused, NoShell, NotFound, Interrupted, Failed,
    }
}
