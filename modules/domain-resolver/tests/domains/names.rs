//! A real name server on loopback.

use std::{net::SocketAddr, str::FromStr, sync::Arc};

use hickory_server::{
    Server,
    proto::rr::{Name, RData, Record, rdata::TXT},
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::UdpSocket;

/// Serves the zone `example.`.
pub struct NameServer {
    zone: Arc<InMemoryZoneHandler>,
    pub address: SocketAddr,
    _server: Server<Catalog>,
}

impl NameServer {
    pub async fn start() -> Self {
        let origin = Name::from_str("example.").unwrap();
        let zone = Arc::new(InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny));
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![zone.clone()]);
        let mut server = Server::new(catalog);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        server.register_socket(socket);
        let this = Self { zone, address, _server: server };
        // Without one a zone is none.
        let soa = hickory_server::proto::rr::rdata::SOA::new(
            Name::from_str("ns.example.").unwrap(),
            Name::from_str("admin.example.").unwrap(),
            1,
            3600,
            600,
            86_400,
            3600,
        );
        this.add("example.", RData::SOA(soa)).await;
        this
    }

    /// Enters a text.
    pub async fn enter(&self, name: &str, text: &str) {
        self.add(&format!("{name}."), RData::TXT(TXT::new(vec![text.to_owned()]))).await;
    }

    async fn add(&self, name: &str, data: RData) {
        let record = Record::from_rdata(Name::from_str(name).unwrap(), 3600, data);
        self.zone.upsert(record, 0).await;
    }
}
