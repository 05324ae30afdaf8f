//! Tests of the samples.

use std::time::Duration;

use super::*;
use crate::classify::testing::at;
use crate::model::trace::{Change, Sighting};

fn socket(state: State, local: &str, peer: &str) -> Socket {
    Socket { state, local: at(local), peer: at(peer) }
}

const KUBELET: (&[u8], Option<u32>) = (b"kubelet", Some(7));

/// The changes that samples show, each a phase and the peers of its sockets.
fn changes(samples: &[(Phase, &[&str])]) -> Vec<(String, Option<Change>)> {
    let node: NodeName = "n1".parse().expect("a name");
    let mut history = History::default();
    for (phase, peers) in samples {
        let mut sample = history.begin_sample(&node, *phase, None);
        for peer in *peers {
            sample.add(socket(State::Established, "10.0.0.1:5", peer), [KUBELET].into_iter());
        }
    }
    let mut changes: Vec<_> = history
        .sockets()
        .map(|(_, known)| (known.socket.peer.to_string(), known.presence.change()))
        .collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes
}

#[test]
fn a_change_follows_from_the_phases_of_the_samples() {
    use Phase::{After, Before, During};
    let found = changes(&[
        (Before, &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.5:1"]),
        (Before, &["1.0.0.1:1", "1.0.0.2:1"]),
        (During, &["1.0.0.1:1", "1.0.0.3:1", "1.0.0.4:1"]),
        (After, &["1.0.0.1:1", "1.0.0.3:1", "1.0.0.4:1"]),
        (After, &["1.0.0.1:1", "1.0.0.4:1"]),
    ]);
    let expected = [
        ("1.0.0.1:1", None),
        ("1.0.0.2:1", Some(Change::Gone)),
        ("1.0.0.3:1", Some(Change::Transient)),
        ("1.0.0.4:1", Some(Change::Appeared)),
        // Gone before the action: no change.
        ("1.0.0.5:1", None),
    ];
    assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
}

#[test]
fn a_short_action_shows_in_the_first_sample_after_it() {
    use Phase::{After, Before};
    let found = changes(&[
        (Before, &["1.0.0.1:1"]),
        (After, &["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]),
        (After, &["1.0.0.1:1", "1.0.0.3:1"]),
    ]);
    let expected =
        [("1.0.0.1:1", None), ("1.0.0.2:1", Some(Change::Transient)), ("1.0.0.3:1", Some(Change::Appeared))];
    assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
}

#[test]
fn a_socket_in_the_last_sample_of_a_lost_node_is_not_gone() {
    use Phase::{Before, During};
    let found = changes(&[(Before, &["1.0.0.1:1", "1.0.0.2:1"]), (During, &["1.0.0.1:1", "1.0.0.3:1"])]);
    let expected =
        [("1.0.0.1:1", None), ("1.0.0.2:1", Some(Change::Gone)), ("1.0.0.3:1", Some(Change::Appeared))];
    assert_eq!(found, expected.map(|(peer, change)| (peer.to_owned(), change)));
}

/// The sightings of the sockets 1.0.0.1 and 1.0.0.2, as `before during after`, and
/// whether their ends were seen.
fn sightings(history: &History) -> Vec<String> {
    let mark = |sighting| match sighting {
        Sighting::Present => '+',
        Sighting::Absent => '-',
        Sighting::Unknown => '?',
    };
    let mut all: Vec<_> = history.sockets().map(|(_, known)| known).collect();
    all.sort_by(|a, b| a.socket.cmp(&b.socket));
    let phases = [Phase::Before, Phase::During, Phase::After];
    let line = |known: &KnownSocket| -> String {
        let presence = known.presence;
        let marks: String = phases.iter().map(|phase| mark(presence.of(*phase))).collect();
        if presence.has_ended { format!("{marks} ended") } else { marks }
    };
    all.iter().map(line).collect()
}

#[test]
fn what_follows_the_last_sample_of_a_node_is_not_known() {
    use Phase::{After, Before, During};
    let node: NodeName = "n1".parse().expect("a name");
    let moment = Moment { arrived: Duration::from_secs(1), node: None };
    let row = |peer: &str| socket(State::Established, "10.0.0.1:5", peer);
    let record = |phases: &[(Phase, &[&str])]| {
        let mut history = History::default();
        for (phase, peers) in phases {
            let mut sample = history.begin_sample(&node, *phase, Some(moment));
            peers.iter().for_each(|peer| sample.add(row(peer), [KUBELET].into_iter()));
        }
        history
    };
    let both: &[&str] = &["1.0.0.1:1", "1.0.0.2:1"];
    let unseen = |history: &History| history.coverage(&node).unseen;
    // Before, during and after the action; lost during and after it.
    let mut history = record(&[(Before, both), (During, both), (After, both)]);
    assert_eq!(sightings(&history), ["+++", "+++"]);
    assert_eq!(unseen(&history), []);
    history.set_lost(&node);
    assert_eq!(sightings(&history), ["++?", "++?"]);
    assert_eq!(unseen(&history), [After]);
    let mut history = record(&[(Before, both), (During, &both[..1])]);
    assert_eq!(sightings(&history), ["++?", "+?- ended"]);
    assert_eq!(unseen(&history), [During, After]);
    // The kernel reported the end of one before the node was lost.
    history.closed(&node, &row(both[0]), During, moment);
    assert_eq!(sightings(&history), ["++- ended", "+?- ended"]);
    assert_eq!(sightings(&record(&[(Before, both)])), ["+??", "+??"]);
    assert_eq!(sightings(&record(&[(During, both), (After, &both[..1])])), ["?++", "?+- ended"]);
    assert_eq!(unseen(&record(&[(During, both), (After, both)])), [Before]);
    // An incomplete sample shows that a socket exists, and nothing of the others.
    let mut history = record(&[(Before, both), (During, &both[..1]), (After, &both[..1])]);
    let mut sample = history.begin_incomplete_sample(&node, After, Some(moment));
    sample.add(row("1.0.0.3:1"), [KUBELET].into_iter());
    assert_eq!(sightings(&history), ["++?", "+-- ended", "--?"]);
    history.begin_sample(&node, After, Some(moment)).add(row(both[0]), [KUBELET].into_iter());
    assert_eq!(sightings(&history), ["+++", "+-- ended", "--- ended"]);
    assert_eq!(unseen(&history), []);
}

#[test]
fn the_longest_time_between_samples_counts_from_the_last_one_before_the_action() {
    use Phase::{After, Before, During};
    let node: NodeName = "n1".parse().expect("a name");
    let mut history = History::default();
    let mut sample = |phase, arrived, on_node| {
        let moment =
            Moment { arrived: Duration::from_millis(arrived), node: Some(Duration::from_millis(on_node)) };
        history.begin_sample(&node, phase, Some(moment));
        history.coverage(&node).longest_gap.map(|gap| gap.as_millis())
    };
    assert_eq!(sample(Before, 0, 0), None);
    assert_eq!(sample(Before, 900, 900), None);
    assert_eq!(sample(During, 1000, 1000), Some(100));
    // Two that arrive at once were taken one after the other.
    assert_eq!(sample(During, 1300, 1100), Some(300));
    assert_eq!(sample(After, 1300, 1500), Some(400));
    assert_eq!(sample(After, 1400, 1600), Some(400));
}

/// It may have been opened after the action, unless its end is reported right after the
/// first sample.
#[test]
fn a_socket_destroyed_after_the_action_is_a_change_of_that_time() {
    let node: NodeName = "n1".parse().expect("a name");
    let mut history = History::default();
    let moment = |arrived| Moment { arrived: Duration::from_millis(arrived), node: None };
    for phase in [Phase::Before, Phase::During, Phase::After] {
        history.begin_sample(&node, phase, Some(moment(1000)));
    }
    for (arrived, peer) in [(1010, "10.0.0.9:40"), (1900, "10.0.0.9:41")] {
        let socket = socket(State::Close, "10.0.0.1:10250", peer);
        history.closed(&node, &socket, Phase::After, moment(arrived));
    }
    let mut found: Vec<_> = history
        .sockets()
        .map(|(_, known)| (known.presence.change(), known.first_phase, known.presence.during))
        .collect();
    found.sort_by_key(|(_, phase, _)| *phase);
    let transient = Some(Change::Transient);
    let expected =
        [(transient, Phase::During, Sighting::Present), (transient, Phase::After, Sighting::Absent)];
    assert_eq!(found, expected);
}

#[test]
fn a_node_whose_sockets_were_not_kept_is_not_compared() {
    let node: NodeName = "n1".parse().expect("a name");
    let mut history = History::default();
    let moment = Moment { arrived: Duration::from_secs(1), node: None };
    let close = |history: &mut History, peer: &str, number: usize| {
        for number in 0..number {
            let local = format!("10.{}.{}.{}:5", number >> 16, number >> 8 & 255, number & 255);
            history.closed(&node, &socket(State::Close, &local, peer), Phase::During, moment);
        }
        (history.dropped, history.has_dropped(&node))
    };
    history.begin_sample(&node, Phase::Before, Some(moment));
    // Of those that are no connections of the API server, the first ones are kept.
    assert_eq!(close(&mut history, "10.0.0.9:8080", OTHERS_MAX + 5), (0, false));
    assert_eq!(history.sockets().count(), OTHERS_MAX);
    history.begin_sample(&node, Phase::After, Some(moment));
    assert!(history.coverage(&node).unseen.is_empty());
    assert_eq!(close(&mut history, "10.0.0.9:443", OF_NODE_MAX), (OTHERS_MAX as u64, true));
    assert_eq!(history.coverage(&node).unseen, [Phase::During, Phase::After]);
}

#[test]
fn a_node_that_was_sampled_once_has_no_change() {
    for phase in [Phase::Before, Phase::During, Phase::After] {
        assert_eq!(changes(&[(phase, &["1.0.0.1:1"])]), [("1.0.0.1:1".to_owned(), None)]);
    }
}

#[test]
fn a_destroyed_socket_existed_between_two_samples() {
    let node: NodeName = "n1".parse().expect("a name");
    let mut history = History::default();
    let moment = Moment { arrived: Duration::from_secs(1), node: None };
    let mut sample = history.begin_sample(&node, Phase::Before, Some(moment));
    sample.add(socket(State::Listen, "*:10250", "*:*"), [KUBELET].into_iter());
    history.closed(&node, &socket(State::Close, "10.0.0.1:10250", "10.0.0.9:40"), Phase::After, moment);
    history.closed(&node, &socket(State::Close, "10.0.0.1:10250", "*:*"), Phase::During, moment);
    history.begin_sample(&node, Phase::After, Some(moment));
    let known: Vec<_> = history.sockets().map(|(_, known)| known).collect();
    let [known] = known.as_slice() else { panic!("{known:?}") };
    assert_eq!(known.presence.change(), Some(Change::Transient));
    assert_eq!(known.component, Some(Component::Kubelet));
    assert_eq!(known.process.as_ref().map(|process| process.name.as_str()), Some("kubelet"));
}
