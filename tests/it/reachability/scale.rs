//! The time that answers take.

use std::net::IpAddr;
use std::sync::Arc;

use eks_netcheck::classify::reachability::Reachabilities;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::gap::Observed;
use eks_netcheck::model::reachability::{Location, Reaches};

use super::{evidence, facts, public};

/// The answers about many nodes take time in proportion to their number.
#[test]
fn many_nodes_are_judged_in_linear_time() {
    let mut evidence = evidence();
    let Observed::Seen(instances) = &mut evidence.network.instances else { unreachable!() };
    let model = instances.iter().find(|instance| instance.name_tag() == Some("n1")).unwrap().clone();
    let Observed::Seen(interfaces) = &mut evidence.network.interfaces else { unreachable!() };
    let eni = interfaces.iter().find(|eni| eni.addresses[0].to_string() == "192.168.1.20").unwrap().clone();
    for number in 0..5_000u32 {
        let address = IpAddr::from((0x0a63_0000 + number).to_be_bytes());
        let mut instance = model.clone();
        instance.id = format!("i-{number:017x}");
        instance.addresses = vec![address];
        let mut own = (*eni).clone();
        own.id = format!("eni-{number:017x}");
        own.addresses = vec![address];
        own.attachment.as_mut().unwrap().instance = Some(instance.id.clone());
        instances.push(instance);
        interfaces.push(Arc::new(own));
    }
    let facts = facts(evidence);
    let known = Reachabilities::new(&facts);
    let began = std::time::Instant::now();
    let mut reached = 0;
    for instance in facts.evidence.node_instances() {
        let place = known.instance(instance);
        assert!(matches!(place.location, Location::Vpc { .. }));
        for access in [EndpointAccess::Private, public(&["198.51.100.210/32"])] {
            reached += usize::from(known.of(&access, &place).reaches() == Reaches::Yes);
        }
    }
    // n2 has another NAT gateway.
    assert_eq!(reached, 2 * 5_002 - 1);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
