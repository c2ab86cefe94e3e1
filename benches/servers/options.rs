//! The options of a server's command line: `--name value` each, and all of them needed.

use std::str::FromStr;

/// The value of an option. The process ends if it is missing or malformed.
pub fn option<T: FromStr>(name: &str) -> T {
    let value = std::env::args().skip_while(|word| word != name).nth(1);
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| {
        eprintln!("{name}: missing or malformed");
        std::process::exit(2)
    })
}
