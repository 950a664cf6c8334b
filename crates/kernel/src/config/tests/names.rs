use super::*;

#[test]
fn flags_and_file_keys_follow_from_the_environment_names() {
    let by_name = |name: &str| SETTINGS.iter().find(|setting| setting.name == name).unwrap();
    assert_eq!(by_name("KERNEL_DATA_DIR").flag(), "data-dir");
    assert_eq!(by_name("GATEWAY_PORT").flag(), "gateway-port");
    assert_eq!(by_name("DATABASE_URL").key(), "database_url");
    let mut keys: Vec<String> = SETTINGS.iter().map(Setting::key).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "two settings share a key");
}

#[test]
fn a_flag_is_known_to_the_command_line() {
    assert_eq!(setting_of_flag("demo-on-network").map(|setting| setting.kind), Some(Kind::Switch));
    assert_eq!(setting_of_flag("owner-password-file").map(|s| s.name), Some("KERNEL_OWNER_PASSWORD"));
    assert!(setting_of_flag("data-dir-file").is_none());
    assert!(setting_of_flag("sandbox").is_none());
}

#[test]
fn an_unknown_flag_stops_and_names_the_nearest() {
    assert_eq!(
        flag("gateway-prot", "1").mistake(),
        "--gateway-prot (flag): no such flag; did you mean --gateway-port?"
    );
    assert_eq!(
        flag("kernel-data-dir", "x").mistake(),
        "--kernel-data-dir (flag): no such flag; did you mean --data-dir?"
    );
    assert_eq!(flag("frobnicate", "x").mistake(), "--frobnicate (flag): no such flag");
}

#[test]
fn an_unknown_key_of_the_file_stops_with_its_line() {
    assert_eq!(
        file("iam_port = 1\ngateway_prot = 2").mistake(),
        "gateway_prot (/etc/pk.toml:2): no such key; did you mean gateway_port?"
    );
    assert_eq!(file("[gateway]\nport = 2").mistake(), "gateway (/etc/pk.toml:1): no such key");
    assert_eq!(
        file("port_offset = 2").mistake(),
        "port_offset (/etc/pk.toml:1): this cannot be set in a file; use the flag --port-offset"
    );
}

#[test]
fn an_unknown_kernel_variable_warns() {
    let warnings = |name| env(name, "x").resolved().warnings().to_vec();
    assert_eq!(
        warnings("KERNEL_GATEWAY_PORT"),
        [
            "KERNEL_GATEWAY_PORT in the environment is no setting of this version and is ignored (did you mean \
          GATEWAY_PORT?)"
        ]
    );
    assert_eq!(
        warnings("KERNEL_ZEBRA_STRIPES"),
        ["KERNEL_ZEBRA_STRIPES in the environment is no setting of this version and is ignored"]
    );
    assert_eq!(
        warnings("KERNEL_PORT_OFFSET"),
        [
            "KERNEL_PORT_OFFSET in the environment is no setting of this version and is ignored (did you mean the \
          flag --port-offset?)"
        ]
    );
    assert_eq!(warnings("GATEWAY_ZEBRA"), [""; 0], "other names belong to others");
}

#[test]
fn a_kernel_variable_one_letter_off_stops() {
    for name in ["KERNEL_DATA_DRI", "KERNEL_DATA_DI", "KERNEL_DATA_DIRS", "KERNEL_DATA_DIX"] {
        let expected = format!("{name} (environment): no such setting; did you mean KERNEL_DATA_DIR?");
        assert_eq!(env(name, "/data").mistake(), expected);
    }
    assert!(env("KERNEL_SECRET_KEY_FIEL", "/key").mistake().contains("did you mean KERNEL_SECRET_KEY_FILE?"));
}

#[test]
fn what_kubernetes_injects_is_ignored_with_one_line() {
    let resolved = env("GATEWAY_PORT", "tcp://10.0.0.1:80")
        .env("KAFKA_PORT", "tcp://10.0.0.2:9092")
        .env("KERNEL_PORT", "tcp://10.0.0.3:8443")
        .env("KERNEL_SERVICE_HOST", "10.0.0.3")
        .env("KERNEL_SERVICE_PORT", "8443")
        .env("KERNEL_SERVICE_PORT_HTTPS", "8443")
        .env("KERNEL_PORT_8443_TCP", "tcp://10.0.0.3:8443")
        .env("KERNEL_PORT_8443_TCP_ADDR", "10.0.0.3")
        .env("KERNEL_PORT_8443_TCP_PORT", "8443")
        .env("NGINX_PORT", "tcp://10.0.0.4:80")
        .resolved();
    assert_eq!(resolved.config.listen.http_port, 8080);
    assert_eq!(
        resolved.warnings(),
        ["GATEWAY_PORT, KAFKA_PORT, KERNEL_PORT ignored: Kubernetes sets it for a Service of that name \
          (enableServiceLinks: false stops that)"]
    );
}

#[test]
fn only_the_environment_may_carry_such_a_port() {
    assert!(flag("gateway-port", "tcp://10.0.0.1:80").mistake().starts_with("--gateway-port (flag): "));
}

#[test]
fn a_flag_given_twice_is_refused_once() {
    let thrice = flag("iam-port", "1").flag("iam-port", "2").flag("iam-port", "3");
    assert_eq!(thrice.mistake(), "--iam-port (flag): given twice; keep one");
}

#[test]
fn a_part_that_is_not_here_yet_is_refused_wherever_it_is_set() {
    for setting in SETTINGS.iter().filter(|setting| !setting.available) {
        let told = env(setting.name, setting.example).mistake();
        let beginning = format!("{} (environment): this version does not have that part yet", setting.name);
        assert!(told.starts_with(&beginning), "{told}");
    }
    assert!(flag("xds-port", "18000").mistake().starts_with("--xds-port (flag): this version"));
    assert!(
        file("clamav_addr = \"tcp://clamav:3310\"")
            .mistake()
            .starts_with("clamav_addr (/etc/pk.toml:1): this version")
    );
    assert!(
        env("VAULT_TOKEN_FILE", "/x").mistake().starts_with("VAULT_TOKEN_FILE (environment): this version")
    );
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let told = flag(&format!("\u{1b}[2J{}", "x".repeat(500)), "1").mistake();
    assert!(!told.contains('\u{1b}') && told.len() < 150, "{told}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = env("GATEWAY_PORT", "soup").flag("nonsense", "1").file("iam_port = \"x\"\nfoo = 1").mistakes();
    assert_eq!(told.len(), 4, "{told:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_line() {
    let told = file("iam_port = 1\ndata_dir = /srv/x\n").mistakes();
    assert!(told[0].starts_with("file (/etc/pk.toml:2): not TOML: "), "{told:?}");
    let twice = file("iam_port = 1\niam_port = 2").mistakes();
    assert!(twice[0].starts_with("file (/etc/pk.toml:2): not TOML: "), "{twice:?}");
    let long = file(&"#".repeat(300_000)).mistake();
    assert_eq!(long, "file (/etc/pk.toml:1): the file is 300000 bytes long, at most 262144");
}

#[test]
fn a_value_of_another_type_in_the_file_is_refused() {
    assert_eq!(
        file("data_dir = [\"a\"]").mistake(),
        "data_dir (/etc/pk.toml:1): a list is not a path; for example data_dir = \"/srv/platform-kernel\""
    );
    assert!(file("iam_port = 1.5").mistake().contains("a fraction is not a port"));
    assert!(file("iam_port = 1979-05-27").mistake().contains("a date is not a port"));
    assert!(file("[iam_port]\nx = 1").mistake().contains("a table is not a port"));
    assert!(file("hosts = [[\"a\"]]").mistake().contains("a list in a list is not"));
}

#[test]
fn the_file_has_lists_numbers_and_switches_of_its_own() {
    let config =
        file("hosts = [\"a.example\", \"b.example\"]\niam_port = 0x1F_91\ndemo_on_network = true").config();
    assert_eq!(config.hosts, ["a.example", "b.example"]);
    assert_eq!(config.listen.iam_port, 8081, "hexadecimal with an underscore");
}
