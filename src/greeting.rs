//! The five lines of a start.

use std::path::Path;

/// What they tell.
#[derive(Debug)]
pub struct Greeting<'a> {
    /// The console with a one-time token, or what to type for one.
    pub console: &'a str,
    /// Where the API is.
    pub url: &'a str,
    /// How to sign in, if it is published.
    pub sign_in: Option<&'a str>,
    /// Where the data lie.
    pub data_dir: &'a Path,
    /// On a terminal there is a key for it.
    pub on_terminal: bool,
    /// This process.
    pub pid: u32,
}

impl Greeting<'_> {
    /// Five lines.
    pub fn lines(&self) -> String {
        let url = self.url;
        let sign_in = self.sign_in.unwrap_or("as the operator, by the console's link");
        let stop = if self.on_terminal { "Ctrl-C".to_owned() } else { format!("kill {}", self.pid) };
        format!(
            "Console  {}\nAPI      {url}/api/v1, described at {url}/docs\nSign in  {sign_in}\nStop     {stop}\nData     {}\n",
            self.console,
            self.data_dir.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_lines() {
        let greeting = Greeting {
            console: "http://localhost:8080/open?token=x",
            url: "http://localhost:8080",
            sign_in: Some("admin@sandbox.localhost / Sandbox2026!"),
            data_dir: Path::new("/data"),
            on_terminal: true,
            pid: 7,
        };
        let lines = greeting.lines();
        assert_eq!(lines.lines().count(), 5);
        assert!(lines.contains("Stop     Ctrl-C\n") && lines.contains("Data     /data\n"));
    }
}
