//! `JUnit`: a test case for each rule and cluster.
//!
//! Kept until the end, since the root element has the totals: all test cases.

use std::io::{Error, Result, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::answer::compared;
use super::compliance::by_standard;
use super::entry::{exception, gap_text};
use super::format::{AuditFormat, ReportWriter};
use super::node_traffic;
use super::remediation;
use super::text::escape;
use super::via::read_by;
use crate::model::audit::{Audited, Summary};
use crate::model::gap::GapReason;
use crate::model::judgment::{JudgedFinding, JudgedGap, Judgment, Verdict};
use crate::model::outcome::RuleOutcome;
use crate::model::rule::{Rule, Severity};

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "junit",
    help: "JUnit, for the test reports of CI systems",
    write: |settings| Box::new(Writer { rules: settings.rules, report: Report::new("eks-netcheck") }),
};

struct Writer {
    rules: &'static [&'static Rule],
    report: Report,
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let arn = escape(audited.facts.evidence.cluster.subject()).into_owned();
        let mut suite = TestSuite::new(arn.as_str());
        for rule in self.rules {
            let mut case = test_case(rule, audited);
            case.set_classname(arn.as_str());
            suite.add_test_case(case);
        }
        if let Some(mut case) = policy_case(&audited.judgment) {
            case.set_classname(arn.as_str());
            suite.add_test_case(case);
        }
        suite.add_property((node_traffic::SUBJECT, node_traffic::words(&audited.facts).as_str()));
        if let Some(nodes) = read_by(&audited.facts) {
            suite.add_property(("nodes", nodes.as_str()));
        }
        let compared = compared(&audited.judgment);
        if !compared.is_empty() {
            suite.add_property(("baseline", escape(&compared.join("; ")).as_ref()));
        }
        for (standard, controls) in by_standard(&audited.judgment) {
            suite.add_property((format!("compliance {}", standard.id()).as_str(), controls.as_str()));
        }
        self.report.add_test_suite(suite);
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        for unjudged in &summary.unjudged {
            let subject = escape(&unjudged.subject).into_owned();
            let detail = escape(&unjudged.gap.detail).into_owned();
            let status = error(detail, unjudged.gap.why, &[escape(&unjudged.gap.hint).into_owned()]);
            let mut case = TestCase::new("describe-cluster", status);
            case.set_classname(subject.as_str());
            let mut suite = TestSuite::new(subject.as_str());
            suite.add_test_case(case);
            self.report.add_test_suite(suite);
        }
        for suite in &mut self.report.test_suites {
            suite.add_property(("policy", escape(&summary.policy.name()).as_ref()));
        }
        let xml = self.report.to_string().map_err(Error::other)?;
        // In Jenkins' XSD, suites have this count, and the root element does not.
        let (root, suites) = xml.split_at(xml.find("<testsuite ").unwrap_or(xml.len()));
        let root = root.replace(&format!(" skipped=\"{}\"", self.report.skipped), "");
        out.write_all(root.as_bytes())?;
        out.write_all(suites.as_bytes())
    }
}

/// The test case of a rule. It fails on findings at or above the threshold, and has an error if
/// evidence is missing that the verdict depends on, so that the report says what the exit code
/// says. Findings below the threshold are its output.
fn test_case(rule: &Rule, audited: &Audited) -> TestCase {
    let Audited { facts, judgment } = audited;
    let outcome = judgment.outcome(rule);
    let RuleOutcome { failing, below, excepted, needed, .. } = &outcome;
    let finding_text = |judged: &JudgedFinding| {
        escape(&format!("{}: {}", judged.finding.subject, judged.finding.message)).into_owned()
    };
    let gap_text = |judged: &JudgedGap| escape(&gap_text(judged)).into_owned();
    let status = if let Some(first) = failing.first() {
        // If it is not known whether the policy excepts them, they make nothing fail.
        let is_failure = judgment.verdict == Verdict::Fail;
        let kind = if is_failure { NonSuccessKind::Failure } else { NonSuccessKind::Error };
        let mut status = TestCaseStatus::non_success(kind);
        let mut text: Vec<_> = failing.iter().copied().map(finding_text).collect();
        text.push(remediation::of(first, facts));
        status.set_message(finding_text(first)).set_type(first.severity.as_str());
        status.set_description(text.join("\n"));
        status
    } else if let Some(first) = needed.first() {
        error(gap_text(first), first.gap.why, &needed.iter().copied().map(gap_text).collect::<Vec<_>>())
    } else if !below.is_empty() {
        TestCaseStatus::success()
    } else {
        let exception = excepted.first().and_then(|judged| exception(judged));
        let gap = outcome.other_gaps.first().copied().map(gap_text);
        let not_judged = || outcome.not_judged.first().map(|one| format!("not judged: {}", one.gap));
        let why: Vec<_> = exception.into_iter().chain(gap.or_else(not_judged)).collect();
        let exclusion = || outcome.exclusion.map(|why| why.as_str().to_owned());
        let why = if why.is_empty() { exclusion() } else { Some(why.join("; ")) };
        why.map_or_else(TestCaseStatus::success, |why| {
            let mut status = TestCaseStatus::skipped();
            status.set_message(escape(&why).as_ref());
            status
        })
    };
    let mut case = TestCase::new(rule.id, status);
    if !below.is_empty() {
        let threshold = judgment.threshold.map_or("never", Severity::as_str);
        let mut text = vec![format!("below the threshold ({threshold}):")];
        text.extend(
            below.iter().map(|judged| format!("{}: {}", judged.severity.as_str(), finding_text(judged))),
        );
        text.push(remediation::of(below[0], facts));
        case.set_system_out(text.join("\n"));
    }
    case
}

/// The status of what was not judged.
fn error(message: String, why: GapReason, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(message).set_type(why.as_str());
    status.set_description(lines.join("\n"));
    status
}

/// The test case of the policy, if entries of it make the verdict depend on what is not known.
fn policy_case(judgment: &Judgment) -> Option<TestCase> {
    let gaps = judgment.gaps.iter().filter(|judged| judged.needed && judged.rules.is_empty());
    let gaps: Vec<_> = gaps.collect();
    let first = gaps.first()?;
    let texts: Vec<_> = gaps.iter().map(|judged| escape(&gap_text(judged)).into_owned()).collect();
    Some(TestCase::new("policy", error(texts[0].clone(), first.gap.why, &texts)))
}
