//! The suites, one concept a file.

mod lab_itself;
mod methods;

use crate::Suite;

/// Every suite, in the order in which they run.
pub(crate) const ALL: &[Suite] = &[
    Suite { name: "lab", what: "the laboratory itself, with the kernel as a router", run: lab_itself::run },
    Suite {
        name: "methods",
        what: "every method, both families, TCP and UDP, 1 and 2 workers",
        run: methods::run,
    },
];
