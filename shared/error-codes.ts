/**
 * Every code that a `SealpostError` can have: what happened, and what the administrator does about it. The message of
 * the error names the object; this table explains the kind. `docs/reference/errors.md` is made from it.
 *
 * A code is part of the interface: scripts compare it, and nodes of the version before know it. Codes are not renamed.
 * The file is long because it is one table.
 */
export const ERRORS = {
  // Calls between services: any operation may answer with these.
  unavailable: {
    meaning: 'No instance of the service answers, or the one that was asked is starting or stopping.',
    action: 'Check with "sealpost cluster status" that the service runs and reaches the bus, then try again.',
  },
  timeout: {
    meaning: 'No answer came in time; the operation may or may not have been done.',
    action: 'Look at the state before trying again, and check the load of the machine and the connection to NATS.',
  },
  busy: {
    meaning: 'The service has as many requests open as it takes, or NATS reads more slowly than this process writes.',
    action: 'Try again; if it lasts, start another instance of the service.',
  },
  malformed: {
    meaning: 'A request, a reply or a bus message does not have the form that its contract asks for.',
    action: 'Check that all nodes run versions that may run together; if they do, report a bug.',
  },
  internal: {
    meaning: 'A handler failed in a way that its contract does not declare.',
    action: 'Report a bug with the error in the log of the node that answered.',
  },
  'too-large': {
    meaning: 'A message, a record or a chunk is larger than the bus or the contract carries.',
    action: 'Raise max_payload of the NATS servers where the message says so; otherwise report a bug.',
  },

  // Things that are there, missing or damaged; more than one area uses these.
  'not-found': {
    meaning:
      'What the request names does not exist: a key, a rotation, a NEK, a certificate, a message, a user, an alias, a group or a node.',
    action: 'Correct the name; the matching list command shows what there is.',
  },
  exists: {
    meaning: 'Something of this name exists already and is kept.',
    action: 'Choose another name, or change the existing one with the command that the message names.',
  },
  superseded: {
    meaning: 'A newer state has replaced the one that was worked on: a pair of queue stores, or a rotation.',
    action: 'Nothing for copies of mail; for a rotation, look at the new one with "sealpost keys list <domain>".',
  },
  corrupt: {
    meaning: 'A stored message or captured mail cannot be read: a record is missing, damaged or not of this version.',
    action: 'Check the disk; the damaged message was set aside and stays on disk for inspection.',
  },

  // Stores on disk (LevelDB) and the map that is replicated through NATS JetStream.
  'store-failed': {
    meaning: 'A store on disk cannot be opened, read or written, or is closed.',
    action: 'Check the disk of node.data for errors, free space and permissions; the log has the cause.',
  },
  'store-locked': {
    meaning: 'Another process uses the store.',
    action: 'Stop that process, or give this node a node.data of its own.',
  },
  'store-damaged': {
    meaning: 'LevelDB found damaged data in a store.',
    action:
      'Check the disk; a store is repaired when it is opened, what was damaged goes to its lost/ folder, and what cannot be repaired must come from a backup.',
  },
  'no-quorum': {
    meaning: 'No majority of the NATS servers confirms a change, or the live nodes are not known yet.',
    action: 'Bring the NATS servers back, then check whether the change was made and repeat it if not.',
  },
  'unreadable-record': {
    meaning: 'A replicated record was written by a newer Sealpost, and this version must not change it.',
    action: 'Update this node, or make the change on a node of the newer version.',
  },
  'invalid-record': {
    meaning: 'A change would have stored a record that does not fit its schema.',
    action: 'Report a bug; nothing was stored.',
  },

  // Configuration, secrets and files that the configuration names.
  'config-unreadable': {
    meaning: 'The configuration file is missing or cannot be read.',
    action: 'Name the file with --config, or let the user of the process read it.',
  },
  'config-invalid': {
    meaning: 'The configuration has mistakes, which the message lists by line.',
    action: 'Correct them; "sealpost config check" looks again without a start.',
  },
  'invalid-config': {
    meaning: 'An address of a NATS server holds a user or a password.',
    action: 'Move them to bus.user and bus.password.',
  },
  'secret-missing': {
    meaning: 'The file or environment variable of a secret does not exist or is empty.',
    action: 'Make the file, or set the variable before the start.',
  },
  'secret-unreadable': {
    meaning: 'The file of a secret exists but cannot be read.',
    action: 'Let the user of the process read the file.',
  },
  unreadable: {
    meaning: 'The users file cannot be read.',
    action: 'Let the user of the process read the file.',
  },
  invalid: {
    meaning: 'The users file or an entry of the directory has mistakes, or a password is empty.',
    action: 'Correct what the message names; nothing was changed.',
  },
  'write-failed': {
    meaning: 'The users file cannot be written.',
    action: 'Check the permissions and free space of its folder; nothing was changed.',
  },

  // Start of a node, and the connection to a node that runs.
  'bus-needed': {
    meaning: 'Only some of the services run in this process, and no bus connects them to the others.',
    action: 'Start all services in one process, or set bus.servers.',
  },
  'filter-failed': {
    meaning: 'A mail filter cannot be reached, was too slow, or gave an answer that is not clear.',
    action:
      'Check the filter and its entry in filters; mail waits or passes with a mark meanwhile, as on-trouble says.',
  },
  'listen-failed': {
    meaning: 'A listener cannot open its port.',
    action: 'Stop what uses the port, choose another one, or permit the process to open ports below 1024.',
  },
  'tls-material': {
    meaning: 'A certificate or its key cannot be used: unreadable, not PEM, not a pair, or expired.',
    action:
      'Replace the files, which are loaded again as soon as they change, or import another certificate; until then the old one stays in use.',
  },
  'acme-failed': {
    meaning: 'An authority did not issue a certificate, or DNS does not show it the proof that it wants.',
    action:
      'See what it says with "sealpost certificates show <name>"; it is tried again by itself, immediately by "sealpost certificates order <name>".',
  },
  'control-failed': {
    meaning: 'The control socket of the node cannot be opened.',
    action: 'Check the owner and mode of the folder that the message names.',
  },
  'health-failed': {
    meaning: 'The health socket of the process cannot be opened.',
    action: 'Check the owner and mode of the folder that the message names.',
  },
  'node-running': {
    meaning: 'Another node runs on the same node.data.',
    action: 'Stop it, or give this node a node.data of its own.',
  },
  'no-node': {
    meaning: 'No node answers at the socket, port or bus that the configuration names.',
    action: 'Start the node, or name its configuration with --config.',
  },
  'port-taken': {
    meaning: 'A port of the sandbox is in use.',
    action: 'Stop the other sandbox, or write a sealpost.yaml with other ports.',
  },
  'sandbox-failed': {
    meaning: 'The files or keys of the sandbox could not be made.',
    action: 'Run it in a folder that you may write, or name a configuration with --config.',
  },

  // Router: taking mail, copies on other nodes, and drain.
  full: {
    meaning:
      'Free space on the disk of the queue is below queue.reserve, or would be with this message or the mail of a backup.',
    action: 'Free space on the disk of node.data; clients get 452 and try again meanwhile.',
  },
  'not-accepting': {
    meaning:
      'The router takes no mail: it stops, drains, cannot write to its disk, or finds no node for the second copy.',
    action: 'Check the disk and the other routers; clients get 451 and try again meanwhile.',
  },
  'unknown-transfer': {
    meaning: 'A transfer is not open: it was aborted, took too long, or the router was restarted.',
    action: 'Nothing, the client sends the message again; if it repeats, look in the log why the router restarts.',
  },
  'out-of-order': {
    meaning: 'A piece of a message came in the wrong place.',
    action: 'Nothing, the client sends the message again; if it repeats, report a bug.',
  },
  'other-store': {
    meaning: 'The queue store that a copy belongs to is gone: its disk was lost or replaced.',
    action: 'Nothing, the copies are taken over by another node; check why the disk changed.',
  },
  'not-ours': {
    meaning: 'Another node may have the message by now, so this one stopped delivering it.',
    action: 'Nothing, exactly one node goes on with it; check the connection to NATS if it repeats.',
  },
  'no-router': {
    meaning: 'No other router is there to take the queue, so the drain did not begin.',
    action: 'Start another router and drain again.',
  },
  'invalid-directive': {
    meaning: 'Mail was to be redirected to something that is neither a host nor mx, or with a user.',
    action: 'Name smtp://host, smtps://host, lmtp://host or mx.',
  },
  'too-many-directives': {
    meaning: 'Operators have suspended and redirected as much as routers keep in mind.',
    action:
      'End some with sealpost queue resume and sealpost queue redirect --end; sealpost queue directives lists them.',
  },
  'not-due': {
    meaning:
      'A router was asked for rows of DMARC or TLS reports of a day that is not over by its clock, or for a run that it has not heard of.',
    action: 'Check the clocks of the nodes; the rows that are missing from a report come with the next one.',
  },
  'peer-protocol': {
    meaning: 'A next hop sent something that is not an SMTP reply.',
    action: 'Check what listens there; the mail stays in the queue.',
  },
  'message-damaged': {
    meaning: 'A stored message holds a NUL byte, which SMTP cannot carry.',
    action: 'Read it with "sealpost queue cat <id>", then "sealpost queue remove <id>".',
  },

  // Signer.
  'not-held': {
    meaning: 'The signer does not have the key, or has not loaded its keys yet.',
    action: 'Wait some seconds; if it lasts, check the connection of the signer to the credential-store.',
  },
  unusable: {
    meaning: 'The signer has the key and cannot sign with it; the message has the reason.',
    action: 'Mend the reason, most often a NEK that is missing in credentials.nek of that node.',
  },
  'store-went-back': {
    meaning: 'The credential-store lost changes that the signer or policy has seen.',
    action: 'Restore the data of the credential-store, or restart the signer or policy to use what there is.',
  },
  'proof-failed': {
    meaning: 'A signer answered with another key, or with a signature that does not verify.',
    action: 'Check that the node runs with the same credential-store and restart its signer.',
  },

  // Credential-store: keys and rotations.
  'invalid-name': {
    meaning: 'A domain or selector cannot name a DKIM key, or the wrong number of selectors was given.',
    action: 'Use letters, digits and inner hyphens, and one selector for each key that is made.',
  },
  'weak-key': {
    meaning: 'An RSA key of 1024 bits can be broken.',
    action: 'Use rsa-2048 or ed25519; only where DNS cannot publish more, use --allow-weak.',
  },
  'key-damaged': {
    meaning: 'A private key does not open with its NEK, or does not belong to its public key.',
    action: 'Import the key again, or replace it by rotation.',
  },
  erased: {
    meaning: 'The private key was erased when the key stopped signing.',
    action: 'Export an active key instead; an erased one cannot be restored.',
  },
  'last-key': {
    meaning: 'It is the last active key of its domain, without which mail is not signed.',
    action: 'Rotate the domain, or use --force.',
  },
  'wrong-state': {
    meaning: 'The key or the rotation is in a state in which this cannot be done.',
    action: 'Look at it with "sealpost keys list <domain>"; the message says what is possible.',
  },
  'no-active-key': {
    meaning: 'The domain has no active key to replace, a named one is not active, or they changed meanwhile.',
    action: 'Look with "sealpost keys list <domain>", create a key where there is none, and try again.',
  },
  'rotation-under-way': {
    meaning: 'The keys of the domain are being rotated already.',
    action: 'Wait for its end, or roll it back.',
  },
  'no-selector': {
    meaning: 'No selector of keys.cname is free for a new key.',
    action: 'Wait until an old key is gone, delete one, or add a selector with its CNAME.',
  },
  'not-configured': {
    meaning: 'The configuration of the domain does not permit it: its selectors, its publication or its zone.',
    action: 'Change the setting that the message names.',
  },
  'invalid-schedule': {
    meaning: 'The schedule of rotations names a time zone that does not exist.',
    action: 'Name one like Europe/Berlin, or UTC, with --zone.',
  },
  'not-caught-up': {
    meaning: 'This credential-store has yet to catch up with the others.',
    action: 'Nothing, another node is asked; if it lasts, check its connection to NATS.',
  },

  // Named encryption keys (NEKs), which wrap the private keys.
  'no-nek': {
    meaning: 'No NEK is configured, or not the one that is needed.',
    action: 'Set credentials.nek, or tls.nek for certificates, or run the command on a node that has the NEK.',
  },
  'nek-invalid': {
    meaning: 'A NEK, its name, or the file of NEKs does not have the right form.',
    action: 'Correct the line that the message names; "sealpost keys nek <name>" prints a new NEK.',
  },
  'nek-mismatch': {
    meaning: 'The keys are wrapped with another NEK than this node, or the request, has.',
    action: 'Add the NEK that the message names to credentials.nek, or to tls.nek for certificates.',
  },
  'nek-missing-on-node': {
    meaning: 'Live nodes lack the NEK that is to become the current one.',
    action:
      'Add it to credentials.nek, or in front in tls.nek for certificates, of the nodes that the message names, and keep the old one.',
  },
  'in-use': {
    meaning: 'The NEK is the current one, or still wraps keys; or the certificate is the default of the listeners.',
    action:
      'Make another NEK current with "sealpost keymgmt rotate nek <name>" first, or name another certificate in tls.credential.',
  },
  'no-nek-file': {
    meaning: 'The configuration names no file for NEKs that a command could change.',
    action: 'Set credentials.nek to a file, or change the environment variable by hand.',
  },
  'nek-file': {
    meaning: 'The file of NEKs cannot be read or written.',
    action: 'Check its permissions, and remove a .new file that an interrupted command left.',
  },

  // Credential-store: DNS.
  'not-in-dns': {
    meaning: 'The domain is not in DNS (keys.proof: none), so there is no record to look at.',
    action: 'Nothing, unless the domain should be in DNS: then change keys.proof.',
  },
  'dns-name': {
    meaning: 'A name cannot be a domain name in DNS.',
    action: 'Correct the name in the configuration or in the zone.',
  },
  'dns-unreachable': {
    meaning: 'A DNS server did not answer.',
    action: 'Let UDP and TCP pass to port 53 of the server, or correct its address.',
  },
  'dns-no-route': {
    meaning: 'This machine has no route to the address of a DNS server, often for want of IPv6.',
    action: 'Nothing while another address of the zone answers; otherwise check the network.',
  },
  'dns-malformed': {
    meaning: 'A DNS server answered with something that is not an answer to the question.',
    action: 'Check which server answers there, and what stands between.',
  },
  'dns-resolver': {
    meaning: 'The resolver of this machine did not answer usefully, or there is none.',
    action: 'Set dns.servers to a resolver that works.',
  },
  'dns-alias': {
    meaning: 'CNAMEs of a record lead in a circle, or through too many names.',
    action: 'Correct the CNAMEs in the zone.',
  },
  'dns-refused': {
    meaning: 'A record cannot be changed before somebody changes a setting or another record.',
    action:
      'Do what the text says at the server or in dns.zones; it is tried every 10 minutes, or immediately by "sealpost keys resume <domain>".',
  },
  'dns-failed': {
    meaning:
      'The server of a zone did not change a record, for a reason that may pass: it is frozen, starts, or is away.',
    action:
      'Nothing at first, it is tried again; if it lasts, do what the text says, and look in the log of that server.',
  },
  'dns-forged': {
    meaning: 'An answer to an update does not carry the signature (TSIG) that it must have.',
    action: 'Check the name, algorithm and secret of the key in dns.zones, and the clocks of both machines.',
  },

  // Credential-store: why a step is not made yet. The status of a rotation has the text; no operation answers with these.
  waiting: {
    meaning: 'A condition of the next step is not met yet.',
    action: 'Do what the status says, if it says so; otherwise wait.',
  },
  late: {
    meaning: 'A live process has yet to take over the last changes.',
    action: 'Nothing at first; if it lasts, check the connection of that node to NATS.',
  },
  'cut-off': {
    meaning: 'The node is cut off from the others and works on no rotation.',
    action: 'Bring back its connection to NATS; another node goes on meanwhile.',
  },
  closed: {
    meaning: 'The node stops, and its work on a rotation ends.',
    action: 'Nothing, another node or the next start goes on.',
  },

  // Console.
  'not-signed-in': {
    meaning: 'Nobody is signed in to the console, the session has ended, or the token is not one of console.tokens.',
    action: 'Sign in; "sealpost console link" makes a link that does.',
  },
  'sign-in-failed': {
    meaning:
      'The password, token or link is not right or not valid any more, or the user has no entry in console.people.',
    action: 'Try again, or make a link with "sealpost console link"; the log of the console has the reason.',
  },
  'openid-failed': {
    meaning: 'The OpenID provider of the console cannot be reached, or what it answers cannot be believed.',
    action: 'Check console.openid and the registration of the console at the provider; the message has the cause.',
  },
  forbidden: {
    meaning:
      'The role or the domains of the person do not permit it, or the request did not come from the console’s own page.',
    action: 'Ask an operator, or change the entry in console.people or console.tokens.',
  },
  'too-many-requests': {
    meaning: 'More requests came from one address than the console takes.',
    action: 'Wait a minute.',
  },

  // Command line.
  usage: {
    meaning: 'The command was called in a way that makes no sense.',
    action: 'Read its --help.',
  },
  aborted: {
    meaning: 'The question was not answered with yes.',
    action: 'Nothing; nothing was changed.',
  },
  mismatch: {
    meaning: 'The two passwords differ.',
    action: 'Try again; nothing was changed.',
  },
  empty: {
    meaning: 'The password is empty.',
    action: 'Try again; nothing was changed.',
  },
  'no-submission': {
    meaning: 'The configuration has no submission listener with TLS and a fixed port.',
    action: 'Add one, or submit with another program.',
  },
  unreachable: {
    meaning: 'The connection to the submission port failed.',
    action: 'Check the listener and its certificate; the message has the cause.',
  },
  refused: {
    meaning: 'The node refused the submission with the SMTP reply in the message.',
    action: 'Do what the reply says; the log of the node has the reason for the refusal.',
  },
  'never-signed': {
    meaning: 'The key never signed, so that no record of it belongs in DNS.',
    action: 'Remove its record from the zone if there is one.',
  },
  'backup-damaged': {
    meaning: 'The file is not a backup, was cut, or was changed; nothing of it was restored.',
    action: 'Take another copy of it, or the backup before; "sealpost restore --dry-run" checks one.',
  },
  'backup-key': {
    meaning: 'The passphrase or the private key does not open the backup.',
    action: 'Use the key that it was made for: --identity, --passphrase-file or SEALPOST_BACKUP_PASSPHRASE.',
  },
  'backup-version': {
    meaning: 'The backup has the format of another version of Sealpost.',
    action: 'Restore it with the version that the message names, and upgrade then.',
  },
  'node-silent': {
    meaning: 'A node that may have, or have delivered, mail of a backup does not answer.',
    action:
      'Start it, or say with --lost that its disk is lost for good: docs/operate/backup.md says what can be doubled then.',
  },
  'file-unreadable': {
    meaning: 'A file or folder to import from or to back up, or a backup, cannot be read.',
    action: 'Correct its name, or let this user read it.',
  },
  'key-unreadable': {
    meaning: 'The file of a private key cannot be read.',
    action: 'Correct its name, or let this user read it.',
  },
  'key-invalid': {
    meaning: 'A file holds no private key that can sign with DKIM.',
    action: 'Name a file with an RSA or Ed25519 key in PEM.',
  },
  'ucl-syntax': {
    meaning: 'A configuration of rspamd cannot be understood at the line that the message names.',
    action: 'Correct that line, or import single keys with "sealpost keys import pem".',
  },
  'not-taken': {
    meaning: 'A table of OpenDKIM is of a kind that cannot be imported.',
    action: 'Write its content into a file, "name value" on each line.',
  },
  'invalid-certificate': {
    meaning: 'A certificate in the folder of a cluster is not PEM, or stands there without its key.',
    action: 'Add what is missing, or remove the file to have both made.',
  },
  'invalid-password': {
    meaning: 'The password file of a bus user does not hold one usable password.',
    action: 'Put one line of printable ASCII into it, or remove it to have one made.',
  },
  'still-up': {
    meaning: 'The node that is to be forgotten still runs.',
    action: 'Drain it first: "sealpost cluster drain <node>".',
  },
  'not-forgotten': {
    meaning: 'Not every process could be told to forget the node.',
    action:
      'Run the command again when all processes answer; else the node is forgotten a day after it was last heard.',
  },
  'nek-lost': {
    meaning: 'The NEK of a cluster that was made before is missing: the volume or file that held it is gone.',
    action: 'Restore it from a backup, or begin with new keys: "sealpost cluster init <folder> --new-nek".',
  },
  'init-failed': {
    meaning: 'The files of a cluster cannot be made in the folder.',
    action: 'Choose a folder that you may write.',
  },
  'not-drained': {
    meaning: 'A node has not ended within the time; its drain goes on.',
    action: 'Look with "sealpost cluster status", and wait with a longer --timeout.',
  },
  'too-many-transcripts': {
    meaning: 'As many transcripts are being made of the sessions of a process as it makes at a time.',
    action: 'End another "sealpost transcript" command; one that died is forgotten after 15 seconds.',
  },
  'started-again': {
    meaning: 'The node was drained, and a supervisor has started it again.',
    action: 'Tell systemd or Docker not to start it again, then drain it again.',
  },
} as const satisfies Record<string, { meaning: string; action: string }>;

export type ErrorCode = keyof typeof ERRORS;
