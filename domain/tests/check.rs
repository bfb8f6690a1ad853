//! The checker of logs: good logs pass, and each predicate is seen to fail on a log that was tampered with.

mod check {
    #[expect(dead_code, reason = "the helpers of all tests of the rules, of which these need some")]
    #[path = "../rules/harness.rs"]
    mod harness;
    mod histories;
    mod tampered;
}
