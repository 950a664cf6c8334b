use super::*;

fn idle(text: &str) -> Result<Duration, Vec<Mistake>> {
    env("SANDBOX_IDLE", text).resolve().map(|resolved| resolved.config.sandboxes.idle)
}

#[test]
fn times_are_written_with_units_or_as_bare_seconds() {
    for (text, seconds) in
        [("30s", 30), ("15m", 900), ("1h", 3600), ("90", 90), ("1h30m", 5400), ("2d", 172_800)]
    {
        assert_eq!(idle(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!(idle("1500ms").ok(), Some(Duration::from_millis(1500)));
    for text in
        ["soon", "-5s", "5 s", "1.5h", "s", "10x", "5s3", "99999999999999999999s", "18446744073709551615d"]
    {
        assert!(idle(text).is_err(), "{text}");
    }
}

#[test]
fn a_bare_number_counts_in_the_unit_of_the_name() {
    assert_eq!(env("KAFKA_RETENTION_HOURS", "24").config().events.retention, Duration::from_secs(86_400));
    assert_eq!(env("KAFKA_RETENTION_HOURS", "7d").config().events.retention, Duration::from_secs(604_800));
    assert_eq!(env("ENVOY_DRAIN_TIMEOUT_SEC", "3").config().limits.route_drain, Duration::from_secs(3));
    assert_eq!(
        file("module_install_timeout_sec = 60").config().modules.install_timeout,
        Duration::from_secs(60)
    );
    assert_eq!(file("gateway_request_timeout = 20").config().limits.request_timeout, Duration::from_secs(20));
}

#[test]
fn a_value_that_does_not_parse_is_told_with_shape_and_example() {
    assert_eq!(
        env("GATEWAY_PORT", "soup").mistake(),
        "GATEWAY_PORT (environment): \"soup\" is not a port (a number from 0 to 65535; 0 is any free port); for \
         example GATEWAY_PORT=8080"
    );
    assert_eq!(
        flag("sandbox-idle", "soon").mistake(),
        "--sandbox-idle (flag): \"soon\" is not a time such as 30s, 15m or 1h (a bare number is seconds); for \
         example --sandbox-idle 15m"
    );
    assert_eq!(
        file("hosts = [\"ok.example\", \"http://x\"]").mistake(),
        "hosts (/etc/pk.toml:1): \"ok.example,http://x\" is not a list of host names, separated by commas: \
         \"http://x\": a host name has no scheme and no path; for example hosts = [\"api.example.com\", \
         \"app.example.com\"]"
    );
}

#[test]
fn a_value_out_of_range_is_told_with_the_range() {
    let told = env("GATEWAY_REQUEST_TIMEOUT", "0").mistake();
    assert!(told.contains("it must lie between 1s and 1h"), "{told}");
    let told = env("DB_MAX_OPEN_CONNS", "1").mistake();
    assert!(told.contains("it must lie between 4 and 5000"), "{told}");
}

#[test]
fn ports_and_numbers_are_plain_digits() {
    for text in ["65536", "-1", "+80", "0x50", "80a", "8 0"] {
        assert!(env("GATEWAY_PORT", text).resolve().is_err(), "{text}");
        assert!(env("RATE_LIMIT_RPS", text).resolve().is_err() || text == "65536", "{text}");
    }
    assert_eq!(env("GATEWAY_PORT", " 90 ").config().listen.http_port, 90);
    assert!(env("RATE_LIMIT_RPS", "99999999999").mistake().contains("too large"));
}

#[test]
fn switches_understand_the_usual_words() {
    for (text, on) in
        [("true", true), ("1", true), ("YES", true), ("false", false), ("0", false), ("no", false)]
    {
        assert_eq!(env("KERNEL_DEMO_ON_NETWORK", text).config().demo_on_network, on, "{text}");
    }
    assert!(env("KERNEL_DEMO_ON_NETWORK", "maybe").mistake().contains("is not true or false"));
}

#[test]
fn a_value_has_at_most_8_kilobytes_and_no_control_characters() {
    let long = "x".repeat(VALUE_LIMIT + 1);
    assert_eq!(
        env("KERNEL_DATA_DIR", &long).mistake(),
        "KERNEL_DATA_DIR (environment): the value is 8193 bytes long, at most 8192"
    );
    assert!(
        env("KERNEL_OWNER_PASSWORD", &long)
            .env("KERNEL_OWNER_EMAIL", "a@b.example")
            .mistake()
            .contains("8193")
    );
    let told = env("KERNEL_DATA_DIR", "/a\n/b").mistake();
    assert!(told.contains("\"/a\\n/b\" contains a control character"), "{told}");
}

#[test]
fn choices_are_words() {
    assert_eq!(env("KERNEL_TEMPLATE", "empty").config().template, Template::Empty);
    assert_eq!(env("KERNEL_TEMPLATE", "./acme.yaml").config().template, Template::File("./acme.yaml".into()));
    assert!(env("KERNEL_TEMPLATE", "dmeo").mistake().contains("\"dmeo\" is not demo, empty or a seed file"));
    let durability = |text| env("KERNEL_DURABILITY", text).config().database.server;
    for (text, durability_) in [("memory", Durability::Memory), ("persistent", Durability::Persistent)] {
        assert_eq!(durability(text), DatabaseServer::Embedded { durability: durability_, tcp_port: None });
    }
    assert!(env("KERNEL_DURABILITY", "some").mistake().contains("is not memory, hybrid or persistent"));
    assert!(env("KERNEL_SANDBOX_MODE", "several").mistake().contains("is not many or single"));
}

#[test]
fn a_tilde_is_not_a_folder() {
    assert!(env("KERNEL_DATA_DIR", "~/pk").mistake().contains("only a shell understands ~"));
    assert!(flag("data-dir", "").mistake().contains("it is empty"));
}

#[test]
fn listeners_bind_loopback_or_an_address() {
    let host = |text| env("GATEWAY_HOST", text).config().listen.host;
    assert_eq!(host("localhost"), ListenHost::Loopback);
    assert_eq!(host("[::]"), ListenHost::Address("::".parse().unwrap()));
    assert!(
        host("127.0.0.2").is_loopback()
            && host("::1").is_loopback()
            && host("::ffff:127.0.0.1").is_loopback()
    );
    assert!(!host("0.0.0.0").is_loopback());
    assert!(env("GATEWAY_HOST", "example.com").mistake().contains("is not an IP address of this machine"));
}

#[test]
fn trusted_proxies_are_networks() {
    let listen = env("KERNEL_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,fd00::/8,").config().listen;
    for (peer, trusted) in [
        ("10.255.0.1", true),
        ("11.0.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("fd12::1", true),
        ("fe80::1", false),
        ("::ffff:10.1.1.1", true),
    ] {
        assert_eq!(listen.trusts(peer.parse().unwrap()), trusted, "{peer}");
    }
    let wrong = |text| env("KERNEL_TRUSTED_PROXIES", text).mistake();
    assert!(wrong("10.0.0.1/8").contains("write 10.0.0.0/8 or 10.0.0.1/32"));
    assert!(wrong("10.0.0.0/33").contains("/33 is longer than the address, at most /32"));
    assert!(wrong("proxy.internal").contains("it is not an IP address or a network"));
    assert!(wrong("::ffff:10.0.0.0/104").contains("write it as IPv4: 10.0.0.0"));
    assert!(wrong(&"10.0.0.1,".repeat(300)).contains("it has 300 entries, at most 256"));
}

#[test]
fn everything_is_a_network_and_warns() {
    let resolved =
        env("KERNEL_TRUSTED_PROXIES", "0.0.0.0/0").env("KERNEL_ALLOWED_TARGETS", "::/0").resolved();
    assert!(resolved.config.listen.trusts("8.8.8.8".parse().unwrap()));
    assert_eq!(resolved.warnings().len(), 2);
}

#[test]
fn targets_are_hosts_or_networks_and_no_disguised_addresses() {
    let targets = env("KERNEL_ALLOWED_TARGETS", "crm.internal,localhost,10.0.0.0/8,::1").config().outbound;
    let told: Vec<String> = targets.allowed_targets.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["crm.internal", "localhost", "10.0.0.0/8", "::1/128"]);
    for disguised in ["2130706433", "127.1", "0177.0.0.1", "http://x", "crm:80", "-a.b", "a..b", "a b"] {
        assert!(env("KERNEL_ALLOWED_TARGETS", disguised).resolve().is_err(), "{disguised}");
    }
}

#[test]
fn name_servers_are_addresses_with_a_port() {
    let servers = env("KERNEL_DNS_RESOLVER", "9.9.9.9,127.0.0.1:5353,[2620:fe::fe],::1").config().outbound;
    let told: Vec<String> = servers.name_servers.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["9.9.9.9:53", "127.0.0.1:5353", "[2620:fe::fe]:53", "[::1]:53"]);
    for wrong in ["dns.example", "9.9.9.9:0", "9.9.9.9:99999", "127.1", "tcp://9.9.9.9"] {
        assert!(env("KERNEL_DNS_RESOLVER", wrong).resolve().is_err(), "{wrong}");
    }
}

#[test]
fn host_names_are_in_lower_case_and_not_under_localhost() {
    assert_eq!(env("KERNEL_HOSTS", "API.Example.COM").config().hosts, ["api.example.com"]);
    assert!(
        env("KERNEL_HOSTS", "acme.localhost").mistake().contains("always means the sandbox of that name")
    );
}

#[test]
fn the_public_address_is_scheme_host_and_port() {
    let url = |text: &str| env("KERNEL_PUBLIC_URL", text).config().public_url.unwrap();
    let acme = url("HTTPS://Api.Acme.example:443/");
    assert_eq!(
        (acme.as_str(), acme.host(), acme.is_https()),
        ("https://api.acme.example", "api.acme.example", true)
    );
    assert_eq!(url("http://localhost:8080").as_str(), "http://localhost:8080");
    assert_eq!(url("http://[::1]:8080").as_str(), "http://[::1]:8080");
    assert_eq!(url("http://[::1]:8080").host(), "::1");
    for wrong in [
        "api.example",
        "ftp://a.b",
        "https://u:p@a.b",
        "https://a.b/path",
        "https://a.b/?x",
        "https://a.b:0",
        "https://",
        "https://a.b:99999",
        "https://a.b:",
        "https://a.b#x",
        "https://2130706433",
    ] {
        assert!(env("KERNEL_PUBLIC_URL", wrong).resolve().is_err(), "{wrong}");
    }
}

#[test]
fn log_levels_may_be_given_by_part() {
    assert_eq!(
        env("LOG_LEVEL", "INFO, data-layer=debug").config().logging.level.as_str(),
        "info,data_layer=debug"
    );
    for wrong in ["loud", "iam=", "=debug", "info,", "iam=loud"] {
        assert!(env("LOG_LEVEL", wrong).resolve().is_err(), "{wrong}");
    }
}

#[test]
fn a_wrong_secret_is_never_shown() {
    let told = env("DATABASE_URL", "mysql://root:hunter2@db").mistake();
    assert!(
        told.contains(
            "the value (not shown) is not a PostgreSQL address such as postgres://user:password@host:5432/database: it does not begin with postgres://"
        )
    );
    assert!(!told.contains("hunter2"));
    assert!(!env("KERNEL_SECRET_KEY", "hunter2").mistake().contains("hunter2"));
    for wrong in ["postgres://", "postgres://a b"] {
        assert!(env("DATABASE_URL", wrong).resolve().is_err(), "{wrong}");
    }
}

#[test]
fn a_secret_may_come_from_a_file_without_its_last_newline() {
    let owner = env("KERNEL_OWNER_EMAIL", "ada@example.com")
        .flag("owner-password-file", "/run/pw")
        .secret_file("/run/pw", " a long enough one \r\n")
        .config()
        .owner
        .unwrap();
    assert_eq!((owner.email.as_str(), owner.password.expose()), ("ada@example.com", " a long enough one "));
    let in_file = file("secret_key_file = \"keys/k\"").secret_file("/etc/keys/k", &"k".repeat(32)).config();
    assert_eq!(in_file.secret_key, Some(Secret::new("k".repeat(32))));
}

#[test]
fn a_secret_file_that_gives_nothing_is_the_only_mistake() {
    let missing = env("KERNEL_SANDBOX_MODE", "single").env("DATABASE_URL_FILE", "/run/db");
    assert_eq!(
        missing.mistake(),
        "DATABASE_URL_FILE (environment): cannot read \"/run/db\": no such file; name a file that holds nothing \
         but the secret"
    );
    let empty = env("KERNEL_SECRET_KEY_FILE", "/run/k").secret_file("/run/k", "\n");
    assert!(empty.mistake().contains("\"/run/k\" is empty"));
}

#[test]
fn mail_addresses_need_a_name_and_a_host() {
    for wrong in ["ada", "@example.com", "ada@", "a b@example.com", "a@b@example.com", "ada@exa mple"] {
        let given = env("KERNEL_OWNER_EMAIL", wrong).env("KERNEL_OWNER_PASSWORD", "long enough");
        assert!(given.mistake().contains("is not an e-mail address"), "{wrong}");
    }
}

#[test]
fn a_valkey_address_has_a_scheme_of_its_own_and_a_password_beside_it() {
    let config = env("VALKEY_URL", "valkeys-cluster://a:7001?node=b:7002")
        .env("VALKEY_PASSWORD_FILE", "/run/valkey")
        .secret_file("/run/valkey", "hunter2\n")
        .env("SSL_CERT_FILE", "/etc/own.pem")
        .config();
    let valkey = config.valkey.unwrap();
    assert_eq!(valkey.url.expose(), "valkeys-cluster://a:7001?node=b:7002");
    assert_eq!(valkey.password, Some(Secret::new("hunter2")));
    assert_eq!(config.more_authorities.as_deref(), Some(Path::new("/etc/own.pem")));
    assert_eq!(nothing().config().valkey, None);
    for (url, why) in [
        ("cache:6379", "does not begin with valkey://"),
        ("http://cache", "begins with none of"),
        ("redis-ring://cache", "begins with none of"),
        ("redis://", "names no server"),
        ("redis://a b", "a space"),
        ("valkey-sentinel://s:26379", "add ?sentinelServiceName="),
    ] {
        let told = env("VALKEY_URL", url).mistake();
        assert!(told.contains(why) && !told.contains(&format!("\"{url}\"")), "{told}");
    }
    assert!(env("VALKEY_PASSWORD", "hunter2").mistake().contains("set VALKEY_URL too"));
}
