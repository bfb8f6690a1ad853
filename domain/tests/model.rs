//! Random histories of everything that can be asked for, held against a naive reference and against the checker of logs.

mod model {
    #[expect(dead_code, reason = "the helpers of all tests of the rules, of which these need some")]
    #[path = "../rules/harness.rs"]
    mod harness;
    #[expect(dead_code, reason = "what was asked is for whoever runs the histories on a store")]
    mod histories;
    mod reference;

    mod cases;
}
