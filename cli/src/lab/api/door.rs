//! Who may come in: only who asks this machine by its own name and knows the token.

use super::refusal::Refusal;

/// What a request is for, once it is let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// A file of the page, by name.
    File(&'a str),
    /// A question without a body.
    Get(&'a str),
    /// A question with one.
    Ask(&'a str),
}

/// The lab's door.
#[derive(Debug)]
pub struct Door {
    token: String,
    hosts: [String; 2],
}

impl Door {
    /// For a server on `port` of the loopback interface.
    pub fn new(token: String, port: u16) -> Self {
        Self { token, hosts: ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}")) }
    }

    /// The page's address.
    pub fn address(&self) -> String {
        format!("http://{}/{}/", self.hosts[0], self.token)
    }

    /// What a request is for.
    ///
    /// * `host`: of its header; a page from elsewhere whose name was turned to this machine gives another
    ///
    /// # Errors
    /// 403 for a wrong host or token; 404 and 405 for what there is not.
    pub fn open<'a>(
        &self,
        method: &str,
        path: &'a str,
        host: Option<&str>,
    ) -> Result<Route<'a>, Refusal> {
        // Port 80 is the one that an address need not name.
        let is_own = |own: &String, host: &str| {
            let short = own.strip_suffix(":80").unwrap_or(own);
            own.eq_ignore_ascii_case(host) || short.eq_ignore_ascii_case(host)
        };
        if !host.is_some_and(|host| self.hosts.iter().any(|own| is_own(own, host))) {
            let [first, second] = &self.hosts;
            return Err(Refusal::new(
                403,
                format!(
                    "the lab answers to {first} and {second} only; the request names another host"
                ),
            ));
        }
        let inside = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let Some((_, name)) = inside.filter(|(token, _)| is_equal(token, &self.token)) else {
            return Err(Refusal::new(
                403,
                "the address lacks this lab's token; use the address that `karenina lab` printed",
            ));
        };
        let nowhere = || Refusal::new(404, "there is no such page in the lab");
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        match (method, name.strip_prefix("api/")) {
            ("GET", None) if name.chars().all(is_name) => Ok(Route::File(name)),
            ("GET", Some(name)) => Ok(Route::Get(name)),
            ("POST", Some(name)) => Ok(Route::Ask(name)),
            ("GET" | "POST", None) => Err(nowhere()),
            _ => Err(Refusal::new(405, "the lab answers GET and POST only")),
        }
    }
}

/// In a time that does not tell how much of it was right.
fn is_equal(given: &str, token: &str) -> bool {
    let differing = given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == token.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str, host: Option<&str>) -> u16 {
        let door = Door::new("abc".into(), 7000);
        door.open(method, path, host).err().map_or(200, |refusal| refusal.status)
    }

    #[test]
    fn only_the_right_name_and_token_open_it() {
        let own = Some("127.0.0.1:7000");
        assert_eq!(status("GET", "/abc/", own), 200);
        assert_eq!(status("GET", "/abc/lab.js", Some("LocalHost:7000")), 200);
        for host in [None, Some("127.0.0.1"), Some("evil.example:7000"), Some("127.0.0.1:70001")] {
            assert_eq!(status("GET", "/abc/", host), 403, "{host:?}");
        }
        for path in ["", "/", "/abc", "/abd/", "/ab/", "/abcd/", "//", "abc/", "/abc?x=/"] {
            assert_eq!(status("GET", path, own), 403, "{path}");
        }
        for path in ["/abc/../secret", "/abc/%2e%2e/x", "/abc/a/b", "/abc//etc/passwd"] {
            assert_eq!(status("GET", path, own), 404, "{path}");
        }
        assert_eq!(status("DELETE", "/abc/", own), 405);
    }

    #[test]
    fn port_80_need_not_be_named() {
        let opens =
            |port, host| Door::new("abc".into(), port).open("GET", "/abc/", Some(host)).is_ok();
        assert!(opens(80, "127.0.0.1") && opens(80, "localhost:80"));
        assert!(!opens(80, "evil.example") && !opens(8080, "127.0.0.1"));
    }
}
