use super::*;

#[test]
fn without_any_source_the_defaults_of_the_reference_hold() {
    let config = nothing().config();
    assert_eq!(config.data_dir, PathBuf::from("/home/ada/.local/share/platform-kernel"));
    assert_eq!((config.template, config.sandbox_mode), (Template::Demo, SandboxMode::Many));
    let listen = config.listen;
    assert_eq!(listen.host, ListenHost::Loopback);
    assert_eq!(
        [listen.tls_port, listen.http_port, listen.iam_port, listen.grpc_port],
        [8443, 8080, 8081, 50050]
    );
    assert_eq!(
        config.database.server,
        DatabaseServer::Embedded { durability: Durability::Hybrid, tcp_port: None }
    );
    assert_eq!(config.database.max_connections, 40);
    assert_eq!(config.limits.request_timeout, Duration::from_secs(30));
    assert_eq!((config.limits.requests_per_second, config.limits.burst), (10_000, 20_000));
    assert_eq!(config.limits.route_drain, Duration::from_secs(10));
    assert_eq!(config.shutdown.grace, Duration::from_secs(5));
    assert_eq!(config.shutdown.requests, Duration::from_secs(15));
    assert_eq!(config.events.retention, Duration::from_secs(168 * 3600));
    assert_eq!(config.events.audit_retention, Duration::from_secs(720 * 3600));
    assert_eq!(config.sandboxes.idle, Duration::from_secs(15 * 60));
    assert_eq!(config.modules.install_timeout, Duration::from_secs(120));
    assert_eq!(config.logging.level.as_str(), "info");
    assert_eq!((config.owner, config.secret_key, config.public_url), (None, None, None));
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let all = || env("GATEWAY_PORT", "2").file("gateway_port = 3");
    let origin = |resolved: &Resolved| resolved.origin("GATEWAY_PORT").cloned();

    let flagged = all().flag("gateway-port", "1").resolved();
    assert_eq!((flagged.config.listen.http_port, origin(&flagged)), (1, Some(Origin::Flag)));
    let from_env = all().resolved();
    assert_eq!((from_env.config.listen.http_port, origin(&from_env)), (2, Some(Origin::Environment)));
    let from_file = file("# ports\n\ngateway_port = 3").resolved();
    assert_eq!(from_file.config.listen.http_port, 3);
    assert_eq!(origin(&from_file), Some(Origin::File { path: "/etc/pk.toml".into(), line: 3 }));
    assert_eq!(origin(&nothing().resolved()), Some(Origin::Default));
}

#[test]
fn a_value_that_is_overridden_is_not_read() {
    assert_eq!(env("IAM_PORT", "soup").flag("iam-port", "9").config().listen.iam_port, 9);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let given =
        env("GATEWAY_PORT", " ").env("KERNEL_OWNER_EMAIL", "").env("VALKEY_URL", "").file("gateway_port = 3");
    assert_eq!(given.config().listen.http_port, 3);
}

#[test]
fn the_data_folder_follows_root_then_xdg_then_home() {
    let xdg = || env("XDG_DATA_HOME", "/xdg");
    assert_eq!(xdg().config().data_dir, PathBuf::from("/xdg/platform-kernel"));
    assert_eq!(Given { is_root: true, ..xdg() }.config().data_dir, PathBuf::from("/var/lib/platform-kernel"));
    let relative = env("XDG_DATA_HOME", "here").config().data_dir;
    assert_eq!(relative, PathBuf::from("/home/ada/.local/share/platform-kernel"));
    let homeless = Given { home: None, ..nothing() }.mistake();
    assert_eq!(
        homeless,
        "KERNEL_DATA_DIR: this user has no home folder to put the data in; say where, for example \
         KERNEL_DATA_DIR=/srv/platform-kernel"
    );
    let homeless = Given { home: None, ..env("KERNEL_DATA_DIR", "/data") };
    assert_eq!(homeless.config().data_dir, PathBuf::from("/data"));
}

#[test]
fn a_relative_path_in_the_file_is_meant_from_its_folder() {
    let config = file("data_dir = \"data\"\ntemplate = \"seeds/acme.yaml\"").config();
    assert_eq!(config.data_dir, PathBuf::from("/etc/data"));
    assert_eq!(config.template, Template::File("/etc/seeds/acme.yaml".into()));
    assert_eq!(env("KERNEL_DATA_DIR", "data").config().data_dir, PathBuf::from("data"));
}

#[test]
fn loopback_may_be_called_unless_in_a_container_or_otherwise_said() {
    let targets = |given: Given| given.config().outbound.allowed_targets;
    let told: Vec<String> = targets(nothing()).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["127.0.0.0/8", "::1/128"]);
    assert_eq!(targets(Given { in_container: true, ..nothing() }), []);
    let said = targets(env("KERNEL_ALLOWED_TARGETS", "CRM.internal"));
    assert_eq!(said, [Target::Host("crm.internal".into())]);
}

#[test]
fn the_log_is_json_unless_on_a_terminal() {
    assert!(!nothing().config().logging.json);
    assert!(Given { on_terminal: false, ..nothing() }.config().logging.json);
    assert!(env("LOG_JSON", "yes").config().logging.json);
}

#[test]
fn the_table_has_every_setting_of_this_version_once_and_hides_secrets() {
    let resolved = env("DATABASE_URL", "postgres://kernel:hunter2@db/x")
        .env("KERNEL_SECRET_KEY_FILE", "/run/key")
        .secret_file("/run/key", &format!("{}\n", "k".repeat(40)))
        .resolved();
    let mut listed: Vec<&str> = resolved.table().iter().map(|row| row.name.as_str()).collect();
    let mut known: Vec<&str> =
        SETTINGS.iter().filter(|s| s.available && !s.flag_only).map(|s| s.name).collect();
    known.push("--port-offset");
    assert_eq!(listed[0], known[0], "in the order of the reference");
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
    assert_eq!(shown(&resolved, "KERNEL_HOSTS"), "(none)");
    assert_eq!(shown(&resolved, "DATABASE_URL"), "***");
    assert_eq!(shown(&resolved, "KERNEL_SECRET_KEY"), "***");
    assert_eq!(shown(&resolved, "KERNEL_PUBLIC_URL"), "(follows the port really bound)");
    let key = resolved.table().iter().find(|row| row.name == "KERNEL_SECRET_KEY").unwrap();
    assert_eq!(
        (&key.origin, key.secret_file.as_deref()),
        (&Origin::Environment, Some(Path::new("/run/key")))
    );
    assert!(!format!("{resolved:?}").contains("hunter2"));
    assert!(!format!("{resolved:?}").contains("kkkk"));
}

#[test]
fn the_file_to_read_is_found_before_anything_else() {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let by_env = pair("KERNEL_CONFIG", "/a.toml");
    assert_eq!(config_file(&by_env, &[]), Some("/a.toml".into()));
    assert_eq!(config_file(&by_env, &pair("config", "/b.toml")), Some("/b.toml".into()));
    assert_eq!(config_file(&pair("KERNEL_CONFIG", ""), &[]), None);
    assert_eq!(
        env("KERNEL_CONFIG", "/a.toml").mistake(),
        "KERNEL_CONFIG (environment): the file was not read; check that it exists"
    );
}
