import { expect, it } from "vitest";
import { sentence } from "./sentence";

const READ: [string, string][] = [
  ["money.transfer.completed", "Transfer completed"],
  ["money.wallet.credited", "Wallet credited"],
  ["money.ledger.differs", "Ledger differs"],
  ["data.crm.contacts.created", "Contact created"],
  ["data.crm.companies.updated", "Company updated"],
  ["crm.deal.won", "Deal won"],
  ["files.file.uploaded", "File uploaded"],
  ["files.image.processed", "Image processed"],
  ["session.created", "Session created"],
  ["session.all_ended", "All sessions ended"],
  ["session.reuse_detected", "Session reuse detected"],
  ["integration.dead_letter.all_retried", "All dead letters retried"],
  ["integration.circuit.opened", "Integration circuit opened"],
  ["auth.user.loggedin", "User signed in"],
  ["user.login", "User signed in"],
  ["user.password_changed", "User password changed"],
  ["module.registry.registered", "Module registered"],
  ["module.uninstalled_with_data", "Module uninstalled with data"],
  ["module.registration_failed", "Module registration failed"],
  ["domain.name.added", "Domain name added"],
  ["domain.hostname.verified", "Hostname verified"],
  ["billing.limit.reached", "Limit reached"],
  ["audit.record.appended", "Audit record appended"],
  ["notify.inbox.read", "Inbox read"],
  ["addresses.changed", "Address changed"],
  ["ping", "Ping"],
];

it.each(READ)("%s reads as “%s”", (action, text) => expect(sentence(action)).toBe(text));
