use super::*;
use crate::doctor::Verdict::{Fail, Pass, Warn};
use crate::doctor::facts::tests::plain_host;

#[test]
fn smt_is_a_risk_unless_each_vm_has_a_core() {
    let facts = HostFacts { smt_active: Some(true), ..plain_host() };
    assert_eq!(smt(&facts, &Needs::private()).verdict, Warn);
    assert_eq!(smt(&facts, &Needs::public()).verdict, Fail);
    let pinned = Needs { pins_cores: true, ..Needs::public() };
    assert_eq!(smt(&facts, &pinned).verdict, Pass);
    let accepted = Needs { accepted: vec![Risk::Smt], ..Needs::public() };
    assert_eq!(smt(&facts, &accepted).verdict, Warn);
    for off in [Some(false), None] {
        let facts = HostFacts { smt_active: off, ..plain_host() };
        assert_eq!(smt(&facts, &Needs::public()).verdict, Pass);
    }
}

#[test]
fn holes_are_open_when_the_kernel_says_so() {
    assert_eq!(mitigations(&plain_host()), Finding::pass("1 hole known, none open"));
    let says = [
        ("mds", "Vulnerable: Clear CPU buffers attempted, no microcode"),
        ("itlb_multihit", "KVM: Vulnerable"),
        ("l1tf", "Mitigation: PTE Inversion; VMX: vulnerable"),
        ("meltdown", "Not affected"),
    ];
    let vulnerabilities = says.map(|(name, says)| (name.to_owned(), says.to_owned())).into();
    let found = mitigations(&HostFacts { vulnerabilities, ..plain_host() });
    assert_eq!(found.verdict, Warn);
    assert_eq!(found.seen, "open: itlb_multihit, mds");
    let silent = HostFacts { vulnerabilities: [].into(), ..plain_host() };
    assert_eq!(mitigations(&silent).verdict, Warn);
}
