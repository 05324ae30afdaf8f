//! `JUnit`: a test case for each rule and cluster.

use std::io::{Error, Result, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::entry::waived_by;
use super::remediation::fill;
use super::text::escape;
use crate::model::audit::{Audit, Audited};
use crate::model::judgment::{JudgedFinding, JudgedGap};
use crate::model::rule::Rule;

/// Writes the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let mut report = Report::new("eks-netcheck");
    for audited in &audit.clusters {
        let arn = escape(audited.facts.evidence.cluster.subject()).into_owned();
        let mut suite = TestSuite::new(arn.as_str());
        for rule in audit.rules {
            let mut case = TestCase::new(rule.id, status(rule, audited));
            case.set_classname(arn.as_str());
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    for unjudged in &audit.unjudged {
        let subject = escape(&unjudged.subject).into_owned();
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(escape(&unjudged.gap.detail).as_ref()).set_type(unjudged.gap.why.as_str());
        status.set_description(escape(&unjudged.gap.hint).as_ref());
        let mut case = TestCase::new("describe-cluster", status);
        case.set_classname(subject.as_str());
        let mut suite = TestSuite::new(subject.as_str());
        suite.add_test_case(case);
        report.add_test_suite(suite);
    }
    let xml = report.to_string().map_err(Error::other)?;
    // In Jenkins' XSD the suites have such a count, and the root has none.
    let (root, suites) = xml.split_at(xml.find("<testsuite ").unwrap_or(xml.len()));
    let root = root.replace(&format!(" skipped=\"{}\"", report.skipped), "");
    out.write_all(root.as_bytes())?;
    out.write_all(suites.as_bytes())
}

fn status(rule: &Rule, audited: &Audited) -> TestCaseStatus {
    let Audited { facts, judgment } = audited;
    let of_rule = |judged: &&JudgedFinding| judged.rule.id == rule.id;
    let (waived, counted): (Vec<_>, Vec<_>) =
        judgment.findings.iter().filter(of_rule).partition(|judged| judged.waived_by().is_some());
    let said = |judged: &&JudgedFinding| {
        escape(&format!("{}: {}", judged.finding.subject, judged.finding.message)).into_owned()
    };
    let gaps = judgment.gaps.iter().filter(|judged| judged.rules.iter().any(|one| one.id == rule.id));
    let (left_out, gaps): (Vec<_>, Vec<_>) = gaps.partition(|judged| judged.gap.is_left_out());
    let told = |judged: &JudgedGap| escape(&judged.gap.to_string()).into_owned();
    if let Some(first) = counted.first() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let mut text: Vec<_> = counted.iter().map(said).collect();
        text.push(fill(rule.remediation, facts));
        status.set_message(said(first)).set_type(first.severity.as_str());
        status.set_description(text.join("\n"));
        status
    } else if let Some(first) = gaps.first() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(told(first)).set_type(first.gap.why.as_str());
        status.set_description(gaps.iter().copied().map(told).collect::<Vec<_>>().join("\n"));
        status
    } else {
        let why = waived.first().and_then(|judged| judged.waiver.as_ref()).map(waived_by);
        let why = why.or_else(|| left_out.first().copied().map(told));
        let is_off = judgment.off.iter().any(|off| off.id == rule.id);
        let why = why.or_else(|| is_off.then(|| "off by the policy".to_owned()));
        match why {
            Some(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(escape(&why).as_ref());
                status
            }
            None => TestCaseStatus::success(),
        }
    }
}
