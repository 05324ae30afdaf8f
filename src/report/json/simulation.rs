//! `simulate` as JSON: the schema `eks-netcheck.simulation.v1`.

use std::io::{Result, Write};

use schemars::JsonSchema;
use serde::Serialize;

use super::gap::GapReport;
use super::step::StepReport;
use super::tool::Tool;
use super::words::{Access, ClientKind, ClientPath, Effect, Outcome, Reaches};
use crate::model::cluster::EndpointAccess;
use crate::model::simulation::{ChangeStep, Client, Simulation};
use crate::report::format::SimulationFormat;
use crate::report::pretty::write_pretty;

/// The format.
pub const FORMAT: SimulationFormat = SimulationFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.simulation.v1",
    write: |simulation, _, out| write_pretty(&SimulationReport::new(simulation), out),
};

/// The name of the schema, which changes with its shape.
const SCHEMA: &str = "eks-netcheck.simulation.v1";

/// What a change of endpoint access would do to each client of the API server.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.simulation.v1")]
pub struct SimulationReport {
    /// Always `eks-netcheck.simulation.v1`.
    schema: String,
    tool: Tool,
    cluster: String,
    /// The access today.
    from: AccessReport,
    /// The access afterwards.
    to: AccessReport,
    clients: Vec<ClientReport>,
    /// The steps of the change, in the order in which no client loses the API server; none if nothing changes.
    steps: Vec<ChangeStepReport>,
    /// Evidence that the verdict would need and that was not seen.
    gaps: Vec<GapReport>,
    /// What readers should know and the verdict does not depend on.
    notes: Vec<String>,
    /// What rules about the settings find afterwards and not today, such as an endpoint that is open to the internet. They do not change the verdict.
    warnings: Vec<String>,
    verdict: Outcome,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AccessReport {
    access: Access,
    /// The blocks that the public endpoint admits; none if it is off.
    public_access_cidrs: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ClientReport {
    /// A node and its process, a node, or the name of a place.
    name: String,
    kind: ClientKind,
    /// The node that was read; null for other clients.
    node: Option<String>,
    /// The process of that node.
    process: Option<String>,
    /// Its path today: of a process that was read, that of its established connections.
    today: ClientPath,
    /// Its path afterwards, once it has connected again.
    after: ClientPath,
    /// Whether it reaches the API server today.
    reaches_today: Reaches,
    /// Whether it reaches the API server afterwards, once it has connected again.
    reaches: Reaches,
    effect: Effect,
    /// Whether its connections of today stay on another path until it is restarted.
    is_stale: bool,
    why: String,
    /// What it needs to reach the API server afterwards, or to use the new path.
    needs: Vec<StepReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChangeStepReport {
    #[serde(flatten)]
    step: StepReport,
    /// The same with eksctl.
    eksctl: Option<String>,
    /// The same in Terraform: arguments of `vpc_config` of an `aws_eks_cluster`.
    terraform: Option<String>,
    /// How to go back.
    back: Option<StepReport>,
}

impl SimulationReport {
    /// The report on a simulation.
    #[must_use]
    pub fn new(simulation: &Simulation) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tool: Tool::this(),
            cluster: simulation.cluster.clone(),
            from: AccessReport::from(&simulation.from),
            to: AccessReport::from(&simulation.to),
            clients: simulation.clients.iter().map(ClientReport::from).collect(),
            steps: simulation.steps.iter().map(ChangeStepReport::from).collect(),
            gaps: simulation.gaps.iter().map(GapReport::from).collect(),
            notes: simulation.notes.clone(),
            warnings: simulation.warnings.clone(),
            verdict: simulation.verdict.into(),
        }
    }
}

impl From<&EndpointAccess> for AccessReport {
    fn from(access: &EndpointAccess) -> Self {
        let cidrs = access.public_cidrs();
        Self { access: access.into(), public_access_cidrs: cidrs.iter().map(ToString::to_string).collect() }
    }
}

impl From<&Client> for ClientReport {
    fn from(client: &Client) -> Self {
        Self {
            name: client.name.clone(),
            kind: client.kind.into(),
            node: client.node.as_ref().map(ToString::to_string),
            process: client.process.clone(),
            today: client.today.into(),
            after: client.after.into(),
            reaches_today: client.reaches_today.into(),
            reaches: client.reaches.into(),
            effect: client.effect.into(),
            is_stale: client.is_stale,
            why: client.why.clone(),
            needs: client.needs.iter().map(StepReport::from).collect(),
        }
    }
}

impl From<&ChangeStep> for ChangeStepReport {
    fn from(ChangeStep { step, eksctl, terraform, back }: &ChangeStep) -> Self {
        Self {
            step: step.into(),
            eksctl: eksctl.clone(),
            terraform: terraform.clone(),
            back: back.as_ref().map(StepReport::from),
        }
    }
}

/// Writes the JSON Schema.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(SimulationReport))?;
    out.write_all(b"\n")
}
