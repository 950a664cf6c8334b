use std::{collections::BTreeMap, str::FromStr, sync::{Arc, Mutex, atomic::{AtomicUsize, Ordering}}, time::{Duration, Instant}};
use event_bus::*;
use fabric::{crypto::RootKey, log::*, postgres::*};
use kernel::*;
use ports::{http::{CursorKey, Failure}, KernelService, ModuleInfo, ModuleSnapshot, Modules, ModulesLink, Principal};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct Mods(Arc<ModuleSnapshot>);
#[async_trait::async_trait]
impl Modules for Mods {
    async fn snapshot(&self, _: &Ctx) -> Result<Arc<ModuleSnapshot>> { Ok(self.0.clone()) }
    async fn authenticate_key(&self, _: &Ctx, _: Secret) -> Result<Principal> { Err(Error::unauthorized()) }
}

async fn call(router: &axum::Router, cx: &Ctx, method: &str, path: &str, body: Option<Value>, accept: &str) -> (u16, Value) {
    use tower::ServiceExt;
    let mut req = ::http::Request::builder().method(method).uri(format!("/api/v1/events{path}")).header("accept", accept);
    if body.is_some() { req = req.header("content-type", "application/json"); }
    let mut req = req.body(axum::body::Body::from(body.map(|b| b.to_string()).unwrap_or_default())).unwrap();
    req.extensions_mut().insert(cx.clone());
    let res = router.clone().oneshot(req).await.unwrap();
    let status = res.status().as_u16();
    if let Some(f) = res.extensions().get::<Failure>() {
        if let Some(r) = f.0.replayed_answer() { return (299, serde_json::from_slice(r).unwrap()); }
        return (status, json!({"slug": f.0.slug().name(), "detail": f.0.detail(), "errors": f.0.field_errors(), "causes": f.0.causes()}));
    }
    let bytes = axum::body::to_bytes(res.into_body(), 100_000_000).await.unwrap();
    (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_env_filter("info").init();
    let opt = |u: &str| PgConnectOptions::from_str(&format!("postgres://{u}:x@127.0.0.1:54871/eb")).unwrap();
    let db = Database::new(DatabaseOptions { app: opt("t_app"), system: opt("t_sys"), data: opt("t_app"), budget: Budget::new(40), pool_size: 12, key: RootKey::new(&[1; 32]) });
    let news = News::new();
    let contexts = Contexts::new(SandboxName::default_sandbox(), Clock::real(), "test");
    let relay = Relay::new(db.clone(), news.clone(), contexts.clone());
    let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(db.clone(), news.clone()));
    let cx = contexts.own();
    let writer = contract::OutboxWriter { db: db.clone(), relay: relay.clone() };
    for n in 0..3 { contract::check(&*log, &writer, &cx).await.unwrap_or_else(|e| panic!("{n}: {e:?}")); }
    contract::check(&*InterleavedLog::over(log.clone()), &writer, &cx).await.unwrap();
    println!("contract ok");

    // statements prepare
    let stop = CancellationToken::new();
    let r = relay.clone(); let s = stop.clone();
    tokio::spawn(async move { r.run(s).await });
    println!("lag {:?}", relay.lag(&cx).await.unwrap());
    println!("forget {:?}", forget(&db, &contexts).await.unwrap());

    // consumer
    let subs = Subscriptions::new(db.clone());
    let seen: Arc<Mutex<BTreeMap<String, Vec<i64>>>> = Arc::default();
    let tries = Arc::new(AtomicUsize::new(0));
    let lat: Arc<Mutex<Vec<u128>>> = Arc::default();
    let (s2, t2, l2) = (seen.clone(), tries.clone(), lat.clone());
    let start = Instant::now();
    let hear: fabric::log::Hear = Arc::new(move |cx, e: DomainEvent| {
        let (s2, t2, l2) = (s2.clone(), t2.clone(), l2.clone());
        Box::pin(async move {
            assert_eq!(cx.tenant().ok(), e.tenant_id);
            let n = e.data["n"].as_i64().unwrap();
            if let Some(us) = e.data["us"].as_i64() { l2.lock().unwrap().push(start.elapsed().as_micros() - us as u128); }
            if e.key == "bad" && n == 1 && t2.fetch_add(1, Ordering::SeqCst) < 2 { return Err(Error::new(Slug::Conflict, "not yet")); }
            if e.key == "dead" && n == 1 { panic!("boom"); }
            s2.lock().unwrap().entry(e.key.clone()).or_default().push(n);
            Ok(())
        })
    });
    for _ in 0..2 {
        let c = Consumer::new("test.consumer", Patterns::new(["shop.*"]).unwrap(), hear.clone());
        tokio::spawn(c.run(log.clone(), subs.clone(), contexts.clone(), stop.clone()));
    }
    let tenant = TenantId::new();
    let t = cx.within(tenant);
    let publish = async |key: String, n: i64, us: Option<i64>| {
        let mut tx = db.tenant(&contexts.own().within(tenant)).unwrap().begin().await.unwrap();
        tx.event(Event::new("shop", "shop.thing.made", key, &json!({"n": n, "us": us})).unwrap()).unwrap();
        tx.commit(()).await.unwrap();
    };
    let _ = &t;
    for n in 1..=3 { publish("bad".into(), n, None).await; publish("dead".into(), n, None).await; publish("good".into(), n, None).await; }
    let t0 = Instant::now();
    while seen.lock().unwrap().get("good").map(Vec::len) != Some(3) { tokio::time::sleep(Duration::from_millis(1)).await; }
    println!("good after {:?}", t0.elapsed());
    while seen.lock().unwrap().get("bad").map(Vec::len) != Some(3) { tokio::time::sleep(Duration::from_millis(5)).await; }
    println!("bad after {:?} {:?}", t0.elapsed(), seen.lock().unwrap());
    // latency at ~500/s
    let sent = 3000;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let gate = Arc::new(tokio::sync::Semaphore::new(4));
    let mut set = tokio::task::JoinSet::new();
    for n in 0..sent {
        tick.tick().await;
        let db = db.clone(); let contexts = contexts.clone();
        let gate = gate.clone();
        let us = start.elapsed().as_micros() as i64;
        set.spawn(async move {
            let _p = gate.acquire().await.unwrap();
            let mut tx = db.tenant(&contexts.own().within(tenant)).unwrap().begin().await.unwrap();
            tx.event(Event::new("shop", "shop.thing.made", format!("k{}", n % 300), &json!({"n": n, "us": us})).unwrap()).unwrap();
            tx.commit(()).await.unwrap();
        });
    }
    while set.join_next().await.is_some() {}
    let t1 = Instant::now();
    while lat.lock().unwrap().len() < sent as usize { tokio::time::sleep(Duration::from_millis(1)).await; assert!(t1.elapsed() < Duration::from_secs(60), "{}", lat.lock().unwrap().len()); }
    let mut v = lat.lock().unwrap().clone(); v.sort();
    println!("latency us p50 {} p99 {} max {} n {}", v[v.len()/2], v[v.len()*99/100], v[v.len()-1], v.len());
    // bulk
    let before: usize = seen.lock().unwrap().values().map(Vec::len).sum();
    let t2 = Instant::now();
    for b in 0..40 {
        let mut tx = db.tenant(&contexts.own().within(tenant)).unwrap().begin().await.unwrap();
        for n in 0..500 { tx.event(Event::new("shop", "shop.thing.made", format!("b{}", n), &json!({"n": b})).unwrap()).unwrap(); }
        tx.commit(()).await.unwrap();
    }
    println!("20000 published in {:?}", t2.elapsed());
    while seen.lock().unwrap().values().map(Vec::len).sum::<usize>() < before + 20000 { tokio::time::sleep(Duration::from_millis(5)).await; }
    println!("20000 published and heard in {:?}", t2.elapsed());
    let sorted = seen.lock().unwrap().iter().filter(|(k, _)| k.starts_with('b')).all(|(_, v)| v.is_sorted());
    println!("in order: {sorted}");

    // REST
    let slug: ModuleSlug = "crm".parse().unwrap();
    let info = ModuleInfo { slug: slug.clone(), name: "@e/crm".into(), version: "1.0.0".into(), backend: None, models: BTreeMap::new(), permissions: vec![], publishes: vec!["crm.deal.won".into(), "crm.deal.lost".into()], subscribes: vec!["data.crm.*".into(), "crm.*".into()], revision: 1 };
    let snapshot = ModuleSnapshot { version: 1, modules: [(slug.clone(), Arc::new(info))].into(), installed: [(tenant, vec![slug.clone()])].into() };
    let modules = ModulesLink::new("modules", Default::default(), Arc::new(Mods(Arc::new(snapshot))));
    let bus = EventBus::create(EventBusDeps { db: db.clone(), log: log.clone(), subscriptions: subs.clone(), modules, cursor: CursorKey::new(&[2; 32]) });
    let router = bus.routes().router();
    let as_actor = |tenant: TenantId, actor: Actor| contexts.own().with_caller(Caller { tenant: Some(tenant), actor, permissions: Arc::new(Permissions::new(["*"])) });
    let user = as_actor(tenant, Actor::Key(ApiKeyId::new()));
    let module = as_actor(tenant, Actor::Module { slug, on_behalf_of: None });
    let other = as_actor(TenantId::new(), Actor::Key(ApiKeyId::new()));
    let j = "application/json";
    let show = |what: &str, r: &(u16, Value)| println!("{what}: {} {}", r.0, r.1.to_string().chars().take(420).collect::<String>());
    let key = |cx: &Ctx, b: u8| cx.with_idempotency(Some(IdempotencyKey { key: uuid::Uuid::from_bytes([b; 16]), fingerprint: [1; 32] }));
    let k = key(&user, 9);
    show("publish", &call(&router, &k, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{"id":"d1","n":1}})), j).await);
    show("publish again", &call(&router, &k, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{"id":"d1","n":1}})), j).await);
    show("kernel type", &call(&router, &user, "POST", "/publish", Some(json!({"type":"auth.user.created","data":{}})), j).await);
    show("tenantId", &call(&router, &user, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{}, "tenantId":"x"})), j).await);
    show("other tenant", &call(&router, &other, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{}})), j).await);
    show("bad type", &call(&router, &user, "POST", "/publish", Some(json!({"type":"crm.deal","data":{}})), j).await);
    show("schema", &call(&router, &module, "POST", "/schemas", Some(json!({"type":"crm.deal.won","version":"1.0.0","schema":{"type":"object","required":["id"],"properties":{"id":{"type":"string"}, "n":{"type":"integer","maximum":1000}}}})), j).await);
    show("schema breaking", &call(&router, &module, "POST", "/schemas", Some(json!({"type":"crm.deal.won","version":"1.1.0","schema":{"type":"object","properties":{"id":{"type":"string"}}}})), j).await);
    show("schema same", &call(&router, &module, "POST", "/schemas", Some(json!({"type":"crm.deal.won","version":"1.0.0","schema":{"type":"object"}})), j).await);
    show("schema grows", &call(&router, &module, "POST", "/schemas", Some(json!({"type":"crm.deal.won","version":"1.1.0","schema":{"type":"object","required":["id"],"properties":{"id":{"type":"string"}, "n":{"type":"integer","maximum":1000}, "note":{"type":"string"}}}})), j).await);
    show("schemas", &call(&router, &user, "GET", "/schemas?limit=1", None, j).await);
    show("does not fit", &call(&router, &user, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{"n":1001}})), j).await);
    show("unknown version", &call(&router, &user, "POST", "/publish", Some(json!({"type":"crm.deal.won","data":{"id":"x"},"schemaVersion":"3.0.0"})), j).await);
    let sub = call(&router, &module, "POST", "/subscriptions", Some(json!({"types":["crm.*"],"consumerGroup":"g","fromBeginning":true,"maxRetries":0})), j).await; show("subscribe", &sub);
    let id = sub.1["id"].as_str().unwrap().to_owned();
    show("same group", &call(&router, &module, "POST", "/subscriptions", Some(json!({"types":["crm.*"],"consumerGroup":"g"})), j).await);
    show("undeclared", &call(&router, &module, "POST", "/subscriptions", Some(json!({"types":["*"]})), j).await);
    show("webhook", &call(&router, &user, "POST", "/subscriptions", Some(json!({"types":["*"],"target":{"kind":"webhook","url":"http://x"}})), j).await);
    let batch: Vec<Value> = (0..500).map(|n| json!({"type":"crm.deal.won","data":{"id":format!("d{}", n % 7),"n":n}})).collect();
    let t3 = Instant::now();
    let b = call(&router, &user, "POST", "/publish/batch", Some(json!({"events":batch})), j).await;
    println!("batch {} {} in {:?}", b.0, b.1["events"].as_array().map(Vec::len).unwrap_or(0), t3.elapsed());
    tokio::time::sleep(Duration::from_millis(50)).await;
    show("topics", &call(&router, &user, "GET", "/topics", None, j).await);
    show("config", &call(&router, &user, "GET", "/topics/platform.crm.events/config", None, j).await);
    show("topic schema", &call(&router, &user, "GET", "/topics/platform.crm.events/schema", None, j).await);
    show("no topic", &call(&router, &other, "GET", "/topics/platform.crm.events/config", None, j).await);
    let mut from = "beginning".to_owned(); let mut total = 0;
    loop {
        let m = call(&router, &user, "GET", &format!("/topics/platform.crm.events/messages?limit=100&from={from}"), None, j).await;
        if total == 0 { show("messages", &m); }
        total += m.1["data"].as_array().unwrap().len();
        from = m.1["meta"]["cursor"].as_str().unwrap().to_owned();
        if m.1["meta"]["hasMore"] == false { break; }
    }
    println!("messages in all {total}");
    show("foreign cursor", &call(&router, &other, "GET", &format!("/topics/platform.auth.events/messages?from={from}"), None, j).await);
    show("by time", &call(&router, &user, "GET", "/topics/platform.crm.events/messages?limit=1&from=2099-01-01T00:00:00Z", None, j).await);
    show("cloud", &call(&router, &user, "GET", "/topics/platform.crm.events/messages?limit=1", None, "application/cloudevents+json").await);
    let p = call(&router, &module, "POST", &format!("/subscriptions/{id}/pull"), Some(json!({"max":100})), j).await;
    println!("pull {} n={} more={}", p.0, p.1["data"].as_array().unwrap().len(), p.1["meta"]["hasMore"]);
    let ids: Vec<Value> = p.1["data"].as_array().unwrap().iter().map(|d| d["event"]["id"].clone()).collect();
    show("ack+fail", &call(&router, &key(&module, 3), "POST", &format!("/subscriptions/{id}/ack"), Some(json!({"eventIds": &ids[2..], "failed":[{"eventId": ids[0], "error":"no"}, {"eventId": ids[1], "error":"no"}]})), j).await);
    show("ack replay", &call(&router, &key(&module, 3), "POST", &format!("/subscriptions/{id}/ack"), Some(json!({"eventIds": ids})), j).await);
    show("position", &call(&router, &module, "GET", &format!("/subscriptions/{id}/position"), None, j).await);
    let d = call(&router, &module, "GET", "/dlq?limit=1", None, j).await; show("dlq", &d);
    let c = d.1["meta"]["cursor"].as_str().unwrap();
    show("dlq 2", &call(&router, &module, "GET", &format!("/dlq?limit=1&cursor={c}"), None, j).await);
    let dl = d.1["data"][0]["id"].as_str().unwrap();
    show("dlq other", &call(&router, &other, "GET", &format!("/dlq/{dl}"), None, j).await);
    show("dlq one", &call(&router, &user, "GET", &format!("/dlq/{dl}"), None, j).await);
    show("retry", &call(&router, &module, "POST", &format!("/dlq/{dl}/retry"), None, j).await);
    show("retry again", &call(&router, &module, "POST", &format!("/dlq/{dl}/retry"), None, j).await);
    show("replay-all", &call(&router, &user, "POST", "/dlq/replay-all", Some(json!({})), j).await);
    let p = call(&router, &module, "POST", &format!("/subscriptions/{id}/pull"), Some(json!({"max":100})), "application/cloudevents+json").await;
    println!("pull {} n={} more={} {}", p.0, p.1["data"].as_array().unwrap().len(), p.1["meta"]["hasMore"], p.1["data"][0]);
    let pos = call(&router, &module, "GET", &format!("/subscriptions/{id}/position"), None, j).await;
    show("seek end", &call(&router, &module, "POST", &format!("/subscriptions/{id}/seek"), Some(json!({"offset":"end"})), j).await);
    show("pull none", &call(&router, &module, "POST", &format!("/subscriptions/{id}/pull"), Some(json!({"max":100})), j).await);
    show("seek off", &call(&router, &module, "POST", &format!("/subscriptions/{id}/seek"), Some(json!({"offset":pos.1["offset"]})), j).await);
    let p = call(&router, &module, "POST", &format!("/subscriptions/{id}/pull"), Some(json!({"max":1})), j).await; println!("pull after seek {} {}", p.0, p.1["data"].as_array().unwrap().len());
    show("seek time", &call(&router, &module, "POST", &format!("/subscriptions/{id}/seek"), Some(json!({"timestamp":"2020-01-01T00:00:00Z"})), j).await);
    show("seek both", &call(&router, &module, "POST", &format!("/subscriptions/{id}/seek"), Some(json!({})), j).await);
    show("list", &call(&router, &user, "GET", "/subscriptions", None, j).await);
    for (m, p, b) in [("GET", "", None), ("DELETE", "", None), ("POST", "/pull", Some(json!({}))), ("POST", "/ack", Some(json!({"eventIds":[ids[0]]}))), ("GET", "/position", None), ("POST", "/seek", Some(json!({"offset":"end"})))] {
        let r = call(&router, &other, m, &format!("/subscriptions/{id}{p}"), b, j).await;
        println!("other tenant {m} {p}: {} {}", r.0, r.1["slug"]);
    }
    show("delete", &call(&router, &user, "DELETE", &format!("/subscriptions/{id}"), None, j).await);
    let doc = ports::http::openapi::document(bus.routes().operations().iter().map(|o| &**o), "http://x", "1");
    println!("paths {}", doc["paths"].as_object().unwrap().len());
    let mut dead = 0;
    while dead == 0 && t0.elapsed() < Duration::from_secs(45) {
        dead = db.system(&contexts.own(), Reason::Events).query("select count(*) from kernel.dead_letter where tenant_id is null").value::<i64>().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("dead letter after {:?}: {dead}; {:?}", t0.elapsed(), seen.lock().unwrap().get("dead"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("then {:?}", seen.lock().unwrap().get("dead"));
    for st in STATEMENTS.iter().filter(|s| s.file.contains("log/") || s.file.contains("event-bus")) {
        let h = db.system(&contexts.own(), Reason::Events);
        let n = st.line;
        h.query(Box::leak(format!("prepare s{n} as {}", st.text).into_boxed_str())).run().await.unwrap_or_else(|e| panic!("{} {}: {e:?}", st.file, st.line));
    }
    println!("prepared {}", STATEMENTS.iter().filter(|s| s.file.contains("log/") || s.file.contains("event-bus")).count());
    let t = Instant::now();
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("stopped {:?}", t.elapsed());
}
