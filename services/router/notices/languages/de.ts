import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { Texts } from './texts.ts';

const WANTED: Record<MessageTls['level'], string> = {
  optional: 'nach Möglichkeit mit TLS',
  required: 'nur mit TLS',
  verified: 'nur mit TLS und einem geprüften Zertifikat',
  requiretls: 'nur mit REQUIRETLS',
};

const BECAUSE: Record<MessageTls['by'], string> = {
  requiretls: 'weil der Absender es verlangt hat',
  'tls-required': 'weil sie das Kopffeld „TLS-Required: No“ enthält',
  sender: 'weil das für ihren Absender so festgelegt ist',
  header: 'weil ein Feld in ihrem Kopf es verlangt',
  subject: 'weil ihr Betreff es verlangt',
};

export const GERMAN: Texts = {
  between: ' ',
  subject: {
    failed: 'Ihre Nachricht konnte nicht zugestellt werden',
    delayed: 'Zustellung Ihrer Nachricht verzögert (weitere Versuche folgen)',
    succeeded: 'Zustellbericht zu Ihrer Nachricht',
  },
  from: (hostname) => `Dies ist das Mailsystem auf ${hostname}.`,
  opening: {
    failed: {
      one: (address) =>
        `Ihre Nachricht an <${address}> konnte nicht zugestellt werden. Es wird kein weiterer Versuch unternommen.`,
      several:
        'Ihre Nachricht konnte den unten genannten Empfängern nicht zugestellt werden. Es wird kein weiterer Versuch unternommen.',
    },
    delayed: {
      one: (address) =>
        `Ihre Nachricht an <${address}> konnte bisher nicht zugestellt werden. Sie müssen sie nicht noch einmal senden.`,
      several:
        'Ihre Nachricht konnte den unten genannten Empfängern bisher nicht zugestellt werden. Sie müssen sie nicht noch einmal senden.',
    },
    succeeded: {
      one: (address) => `Ihre Nachricht an <${address}> wurde weitergegeben.`,
      several: 'Ihre Nachricht wurde für die unten genannten Empfänger weitergegeben.',
    },
  },
  postmaster: {
    subject: 'Postmaster: Unzustellbare Nachricht',
    copy: (sender) =>
      `Eine Nachricht von <${sender}> konnte den unten genannten Empfängern nicht zugestellt werden. Dies ist eine Kopie des Berichts an den Absender.`,
    'dead-letter':
      'Eine Nachricht konnte den unten genannten Empfängern nicht zugestellt werden. Ihr Umschlagabsender ist leer, deshalb kann sie nicht zurückgesendet werden: Sie ist wahrscheinlich selbst ein Bericht oder eine automatische Antwort. Sonst erfährt niemand davon.',
  },
  until: (date) => `Weitere Versuche werden bis ${date} unternommen.`,
  mustTls: ({ level, by }) => `Sie darf ${WANTED[level]} gesendet werden, ${BECAUSE[by]}.`,
  queueId: (id) => `Kennung in der Warteschlange: ${id}`,
  arrived: (date) => `Eingegangen: ${date}`,
  sentTo: (original) => `(gesendet an <${original}>)`,
  said: (host, reply) => `Antwort von ${host}: ${reply}`,
  says: (reply) => `Grund: ${reply}`,
  untried: 'Es wurde noch kein Versuch unternommen.',
  expired:
    'Die Zustellung wurde versucht, bis die Aufbewahrungszeit in der Warteschlange abgelaufen war. Ergebnis des letzten Versuchs:',
  toDo: 'Was Sie tun können:',
  causes: {
    'unknown-mailbox': {
      what: 'Der Mailserver des Empfängers kennt diese Adresse nicht.',
      advice: 'Prüfen Sie die Adresse auf Tippfehler, oder fragen Sie den Empfänger nach seiner aktuellen Adresse.',
    },
    'unknown-domain': {
      what: 'Die Domain dieser Adresse gibt es nicht, oder für sie ist kein Mailserver bekannt.',
      advice: 'Prüfen Sie den Teil nach dem @ auf Tippfehler.',
    },
    'bad-address': {
      what: 'Die Adresse hat keine Form, die der Mailserver annimmt.',
      advice: 'Prüfen Sie die Adresse auf Tippfehler, Leerzeichen und Sonderzeichen.',
    },
    ambiguous: {
      what: 'Die Adresse könnte zu mehreren Personen gehören.',
      advice: 'Fragen Sie den Empfänger nach seiner vollständigen Adresse.',
    },
    moved: {
      what: 'Der Empfänger erhält unter dieser Adresse keine Mail mehr.',
      advice: 'Fragen Sie den Empfänger nach der neuen Adresse; vielleicht steht sie in der Antwort oben.',
    },
    'no-mail': {
      what: 'Die Domain dieser Adresse nimmt überhaupt keine Mail an.',
      advice: 'Prüfen Sie den Teil nach dem @ auf Tippfehler, oder wenden Sie sich auf anderem Weg an den Empfänger.',
    },
    'bad-sender': {
      what: 'Der Mailserver des Empfängers nimmt Ihre Absenderadresse nicht an.',
      advice:
        'Prüfen Sie die Absenderadresse in Ihrem Mailprogramm. Ist sie richtig, leiten Sie diesen Bericht an Ihren Administrator weiter.',
    },
    disabled: {
      what: 'Das Postfach des Empfängers ist deaktiviert.',
      advice: 'Fragen Sie den Empfänger nach einer anderen Adresse.',
    },
    full: {
      what: 'Das Postfach des Empfängers ist voll.',
      advice:
        'Senden Sie die Nachricht später noch einmal, oder wenden Sie sich auf anderem Weg an den Empfänger: Nur er selbst kann Platz schaffen.',
    },
    'too-large': {
      what: 'Die Nachricht ist größer, als der Mailserver des Empfängers erlaubt.',
      advice:
        'Senden Sie sie mit kleineren Anhängen oder in mehreren Teilen, oder senden Sie einen Link zu den Dateien.',
    },
    unreachable: {
      what: 'Der Mailserver des Empfängers ist nicht erreichbar, oder die Verbindung zu ihm brach ab.',
      advice:
        'Senden Sie die Nachricht später noch einmal. Gelingt es wieder nicht, wenden Sie sich auf anderem Weg an den Empfänger.',
    },
    loop: {
      what: 'Die Nachricht lief zwischen Mailservern im Kreis.',
      advice:
        'Leiten Sie diesen Bericht an Ihren Administrator weiter. Ein neuer Versuch hilft erst, wenn die Weiterleitung berichtigt ist.',
    },
    removed: {
      what: 'Ein Betreuer dieses Mailsystems hat die Nachricht aus der Warteschlange entfernt.',
      advice: 'Fragen Sie den Administrator dieses Mailsystems nach dem Grund.',
    },
    smtputf8: {
      what: 'Eine Adresse oder der Kopf der Nachricht enthält Zeichen, die ein Mailserver auf dem Weg nicht verarbeiten kann (SMTPUTF8).',
      advice:
        'Verwenden Sie Adressen ohne Umlaute und Sonderzeichen, oder fragen Sie den Empfänger nach einer solchen Adresse.',
    },
    content: {
      what: 'Der Mailserver kann die Nachricht in dieser Form nicht annehmen.',
      advice: 'Senden Sie sie als reinen Text, oder senden Sie die Anhänge in einem anderen Format.',
    },
    policy: {
      what: 'Der Mailserver des Empfängers lehnt die Nachricht nach seinen eigenen Regeln ab.',
      advice:
        'Lesen Sie die Antwort oben: Oft nennt sie die Regel und eine Webseite dazu. Können Sie die Ursache nicht selbst beheben, leiten Sie diesen Bericht an Ihren Administrator weiter.',
    },
    authentication: {
      what: 'Der Mailserver des Empfängers konnte nicht bestätigen, dass die Nachricht aus Ihrer Domain stammt (SPF, DKIM, DMARC).',
      advice:
        'Senden Sie die Nachricht über den Mailserver Ihrer eigenen Domain. Haben Sie das getan, leiten Sie diesen Bericht an Ihren Administrator weiter.',
    },
    tls: {
      what: 'Die Nachricht konnte nicht mit der Verschlüsselung (TLS) gesendet werden, die für sie verlangt wird.',
      advice:
        'Übermitteln Sie den Inhalt auf einem anderen sicheren Weg. Ihr Administrator kann sagen, was fehlt, und ob auf die Verschlüsselung verzichtet werden darf.',
    },
    signing: {
      what: 'Die Nachricht konnte nicht signiert werden (DKIM), und die Domain des Verfassers lässt keine unsignierte Mail hinaus.',
      advice:
        'Leiten Sie diesen Bericht an Ihren Administrator weiter: Er muss sich um den Signaturschlüssel Ihrer Domain kümmern.',
    },
    rate: {
      what: 'Der Mailserver des Empfängers nimmt vorerst keine weitere Mail von Ihnen an.',
      advice: 'Warten Sie einige Stunden, und senden Sie die Nachricht dann noch einmal.',
    },
    'server-trouble': {
      what: 'Der Mailserver des Empfängers ist gestört.',
      advice:
        'Senden Sie die Nachricht später noch einmal. Gelingt es wieder nicht, wenden Sie sich auf anderem Weg an den Empfänger.',
    },
    'this-system': {
      what: 'Dieses Mailsystem konnte die Nachricht nicht weitersenden.',
      advice: 'Leiten Sie diesen Bericht an den Administrator dieses Mailsystems weiter.',
    },
    refused: {
      what: 'Der Mailserver des Empfängers lehnt die Nachricht ab.',
      advice:
        'Lesen Sie die Antwort oben: Vielleicht nennt sie den Grund. Andernfalls leiten Sie diesen Bericht an Ihren Administrator weiter.',
    },
  },
  fate: {
    final: 'Sie wurde in das Postfach zugestellt.',
    relayed:
      'Sie wurde einem Server übergeben, der keine Zustellberichte sendet. Über ihren weiteren Weg erhalten Sie keine Nachricht.',
    expanded:
      'Die Adresse steht für mehrere Empfänger, an die die Nachricht weitergesendet wird. Erfolgreiche Zustellungen an sie werden nicht gemeldet.',
    list: 'Sie wurde für die Mailingliste angenommen, die sie an ihre Mitglieder weitersendet. Über diese erhalten Sie keine Berichte.',
  },
};
