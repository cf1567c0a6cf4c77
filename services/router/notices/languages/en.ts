import { describeMessageTls } from '#shared/mail/message-tls.ts';
import type { Texts } from './texts.ts';

export const ENGLISH: Texts = {
  between: ' ',
  subject: {
    failed: 'Undelivered Mail Returned to Sender',
    delayed: 'Delayed Mail (still being retried)',
    succeeded: 'Successful Mail Delivery Report',
  },
  from: (hostname) => `This is the mail system at ${hostname}.`,
  opening: {
    failed: {
      one: (address) => `Your message to <${address}> could not be delivered, and it will not be tried again.`,
      several: 'Your message could not be delivered to the recipients below, and it will not be tried again.',
    },
    delayed: {
      one: (address) => `Your message to <${address}> has not been delivered yet. You need not send it again.`,
      several: 'Your message has not been delivered yet to the recipients below. You need not send it again.',
    },
    succeeded: {
      one: (address) => `Your message to <${address}> was handed on.`,
      several: 'Your message was handed on for the recipients below.',
    },
  },
  postmaster: {
    subject: 'Postmaster: Undelivered Mail',
    copy: (sender) =>
      `A message from <${sender}> could not be delivered to the recipients below. This is a copy of the notice to its sender.`,
    'dead-letter':
      'A message could not be delivered to the recipients below. It has the null reverse-path, so it cannot be returned: it is most likely a notice or an automatic reply itself. Nobody else is told.',
  },
  until: (date) => `It is tried until ${date}.`,
  mustTls: (tls) => `It must be sent with ${describeMessageTls(tls)}.`,
  queueId: (id) => `Queue id: ${id}`,
  arrived: (date) => `Arrived: ${date}`,
  sentTo: (original) => `(sent to <${original}>)`,
  said: (host, reply) => `${host} said: ${reply}`,
  says: (reply) => `Reason: ${reply}`,
  untried: 'It has not been tried yet.',
  expired: 'It was tried until its time in the queue was over. The last attempt ended as follows.',
  toDo: 'What to do:',
  causes: {
    'unknown-mailbox': {
      what: 'The mail server of the recipient does not know this address.',
      advice: 'Check the address for typing errors, or ask the recipient for the current one.',
    },
    'unknown-domain': {
      what: 'The domain of this address does not exist, or no mail server is known for it.',
      advice: 'Check the part after the @ for typing errors.',
    },
    'bad-address': {
      what: 'The address is not in a form that the mail server accepts.',
      advice: 'Check the address for typing errors, spaces and special characters.',
    },
    ambiguous: {
      what: 'The address could belong to several people.',
      advice: 'Ask the recipient for the complete address.',
    },
    moved: {
      what: 'The recipient no longer receives mail at this address.',
      advice: 'Ask the recipient for the new address; the reply above may name it.',
    },
    'no-mail': {
      what: 'The domain of this address accepts no mail at all.',
      advice: 'Check the part after the @ for typing errors, or reach the recipient in another way.',
    },
    'bad-sender': {
      what: 'The mail server of the recipient does not accept your sender address.',
      advice:
        'Check the sender address in your mail program. If it is right, pass this report on to your administrator.',
    },
    disabled: {
      what: 'The mailbox of the recipient is disabled.',
      advice: 'Ask the recipient for another address.',
    },
    full: {
      what: 'The mailbox of the recipient is full.',
      advice: 'Send the message again later, or reach the recipient in another way: only the recipient can make room.',
    },
    'too-large': {
      what: 'The message is larger than the mail server of the recipient accepts.',
      advice: 'Send it with smaller attachments or in several parts, or send a link to the files.',
    },
    unreachable: {
      what: 'The mail server of the recipient cannot be reached, or the connection to it broke off.',
      advice: 'Send the message again later. If it fails again, reach the recipient in another way.',
    },
    loop: {
      what: 'The message went in a circle between mail servers.',
      advice:
        'Pass this report on to your administrator. Sending the message again does not help before the forwarding is corrected.',
    },
    removed: {
      what: 'An operator of this mail system took the message out of the queue.',
      advice: 'Ask the administrator of this mail system for the reason.',
    },
    smtputf8: {
      what: 'An address or the header of the message has characters that a mail server on the way cannot handle (SMTPUTF8).',
      advice: 'Use addresses of letters without accents, or ask the recipient for such an address.',
    },
    content: {
      what: 'The mail server cannot take the message in the form that it has.',
      advice: 'Send it as plain text, or with its attachments in another format.',
    },
    policy: {
      what: 'The mail server of the recipient refuses the message by its own rules.',
      advice:
        'Read the reply above: it may say which rule, and often names a page about it. If you cannot change the cause, pass this report on to your administrator.',
    },
    authentication: {
      what: 'The mail server of the recipient could not verify that the message comes from your domain (SPF, DKIM, DMARC).',
      advice:
        'Send the message through the mail server of your own domain. If you did, pass this report on to your administrator.',
    },
    tls: {
      what: 'The message could not be sent with the encryption (TLS) that is required for it.',
      advice:
        'Send the content in another safe way. Your administrator can say what is missing, and whether the requirement can be lifted.',
    },
    signing: {
      what: 'The message could not be signed (DKIM), and the domain of its author lets no mail out unsigned.',
      advice: 'Pass this report on to your administrator: the signing key of your domain needs attention.',
    },
    rate: {
      what: 'The mail server of the recipient accepts no more mail from you for the time being.',
      advice: 'Wait a few hours, then send the message again.',
    },
    'server-trouble': {
      what: 'The mail server of the recipient has trouble of its own.',
      advice: 'Send the message again later. If it fails again, reach the recipient in another way.',
    },
    'this-system': {
      what: 'This mail system could not send the message on.',
      advice: 'Pass this report on to the administrator of this mail system.',
    },
    refused: {
      what: 'The mail server of the recipient refuses the message.',
      advice: 'Read the reply above: it may say why. If it does not, pass this report on to your administrator.',
    },
  },
  fate: {
    final: 'It was delivered to the mailbox.',
    relayed: 'It was handed to a server that sends no delivery reports. Nothing more will be heard of it.',
    expanded:
      'The address stands for several recipients, to whom the message is sent on. Successful deliveries to them are not reported.',
    list: 'The message was accepted for the mailing list, which sends it on to its members. You get no reports about them.',
  },
};
