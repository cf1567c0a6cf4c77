import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { Texts } from './texts.ts';

/** A no-break space stands in front of `:` and inside of « », as French typography has it; `wrap.ts` keeps it. */

const WANTED: Record<MessageTls['level'], string> = {
  optional: 'si possible avec TLS',
  required: 'uniquement avec TLS',
  verified: 'uniquement avec TLS et un certificat vérifié',
  requiretls: 'uniquement avec REQUIRETLS',
};

const BECAUSE: Record<MessageTls['by'], string> = {
  requiretls: 'à la demande de son expéditeur',
  'tls-required': 'car son en-tête contient «\u00a0TLS-Required: No\u00a0»',
  sender: 'en raison de son expéditeur',
  header: 'en raison d’un champ de son en-tête',
  subject: 'en raison de son objet',
};

export const FRENCH: Texts = {
  between: ' ',
  subject: {
    failed: 'Votre message n’a pas pu être remis',
    delayed: 'Remise de votre message retardée (nouvelles tentatives en cours)',
    succeeded: 'Rapport de remise de votre message',
  },
  from: (hostname) => `Ce message provient du système de messagerie de ${hostname}.`,
  opening: {
    failed: {
      one: (address) =>
        `Votre message à <${address}> n’a pas pu être remis. Aucune nouvelle tentative ne sera effectuée.`,
      several:
        'Votre message n’a pas pu être remis aux destinataires ci-dessous. Aucune nouvelle tentative ne sera effectuée.',
    },
    delayed: {
      one: (address) =>
        `Votre message à <${address}> n’a pas encore pu être remis. Il est inutile de l’envoyer à nouveau.`,
      several:
        'Votre message n’a pas encore pu être remis aux destinataires ci-dessous. Il est inutile de l’envoyer à nouveau.',
    },
    succeeded: {
      one: (address) => `Votre message à <${address}> a été transmis.`,
      several: 'Votre message a été transmis pour les destinataires ci-dessous.',
    },
  },
  postmaster: {
    subject: 'Postmaster\u00a0: message non remis',
    copy: (sender) =>
      `Un message de <${sender}> n’a pas pu être remis aux destinataires ci-dessous. Ceci est une copie du rapport adressé à son expéditeur.`,
    'dead-letter':
      'Un message n’a pas pu être remis aux destinataires ci-dessous. Son expéditeur d’enveloppe est vide et il ne peut donc pas être renvoyé\u00a0: il s’agit sans doute lui-même d’un rapport ou d’une réponse automatique. Personne d’autre n’en est informé.',
  },
  until: (date) => `De nouvelles tentatives auront lieu jusqu’au ${date}.`,
  mustTls: ({ level, by }) => `Il doit être envoyé ${WANTED[level]}, ${BECAUSE[by]}.`,
  queueId: (id) => `Identifiant dans la file d’attente\u00a0: ${id}`,
  arrived: (date) => `Reçu le\u00a0: ${date}`,
  sentTo: (original) => `(envoyé à <${original}>)`,
  said: (host, reply) => `Réponse de ${host}\u00a0: ${reply}`,
  says: (reply) => `Motif\u00a0: ${reply}`,
  untried: 'Aucune tentative n’a encore eu lieu.',
  expired:
    'Les tentatives se sont poursuivies jusqu’à l’expiration du délai de conservation dans la file d’attente. Résultat de la dernière tentative\u00a0:',
  toDo: 'Que faire\u00a0:',
  causes: {
    'unknown-mailbox': {
      what: 'Le serveur de messagerie du destinataire ne connaît pas cette adresse.',
      advice:
        'Vérifiez que l’adresse ne contient pas de faute de frappe, ou demandez au destinataire son adresse actuelle.',
    },
    'unknown-domain': {
      what: 'Le domaine de cette adresse n’existe pas, ou aucun serveur de messagerie n’est connu pour lui.',
      advice: 'Vérifiez que la partie qui suit le @ ne contient pas de faute de frappe.',
    },
    'bad-address': {
      what: 'L’adresse n’a pas une forme que le serveur de messagerie accepte.',
      advice: 'Vérifiez que l’adresse ne contient ni faute de frappe, ni espace, ni caractère spécial.',
    },
    ambiguous: {
      what: 'L’adresse peut désigner plusieurs personnes.',
      advice: 'Demandez au destinataire son adresse complète.',
    },
    moved: {
      what: 'Le destinataire ne reçoit plus de courrier à cette adresse.',
      advice: 'Demandez au destinataire sa nouvelle adresse\u00a0; la réponse ci-dessus la donne peut-être.',
    },
    'no-mail': {
      what: 'Le domaine de cette adresse n’accepte aucun courrier.',
      advice:
        'Vérifiez que la partie qui suit le @ ne contient pas de faute de frappe, ou joignez le destinataire par un autre moyen.',
    },
    'bad-sender': {
      what: 'Le serveur de messagerie du destinataire n’accepte pas votre adresse d’expéditeur.',
      advice:
        'Vérifiez l’adresse d’expéditeur dans votre logiciel de messagerie. Si elle est correcte, transmettez ce rapport à votre administrateur.',
    },
    disabled: {
      what: 'La boîte aux lettres du destinataire est désactivée.',
      advice: 'Demandez au destinataire une autre adresse.',
    },
    full: {
      what: 'La boîte aux lettres du destinataire est pleine.',
      advice:
        'Renvoyez le message plus tard, ou joignez le destinataire par un autre moyen\u00a0: lui seul peut libérer de la place.',
    },
    'too-large': {
      what: 'Le message est plus volumineux que ne l’accepte le serveur de messagerie du destinataire.',
      advice:
        'Envoyez-le avec des pièces jointes plus petites ou en plusieurs parties, ou envoyez un lien vers les fichiers.',
    },
    unreachable: {
      what: 'Le serveur de messagerie du destinataire est injoignable, ou la connexion a été interrompue.',
      advice: 'Renvoyez le message plus tard. En cas de nouvel échec, joignez le destinataire par un autre moyen.',
    },
    loop: {
      what: 'Le message a tourné en boucle entre des serveurs de messagerie.',
      advice:
        'Transmettez ce rapport à votre administrateur. Renvoyer le message ne sert à rien tant que le transfert n’est pas corrigé.',
    },
    removed: {
      what: 'Un opérateur de ce système de messagerie a retiré le message de la file d’attente.',
      advice: 'Demandez-en la raison à l’administrateur de ce système de messagerie.',
    },
    smtputf8: {
      what: 'Une adresse ou l’en-tête du message contient des caractères qu’un serveur de messagerie intermédiaire ne peut pas traiter (SMTPUTF8).',
      advice: 'Utilisez des adresses sans caractères accentués, ou demandez au destinataire une telle adresse.',
    },
    content: {
      what: 'Le serveur de messagerie ne peut pas accepter le message sous cette forme.',
      advice: 'Envoyez-le en texte brut, ou avec des pièces jointes dans un autre format.',
    },
    policy: {
      what: 'Le serveur de messagerie du destinataire refuse le message selon ses propres règles.',
      advice:
        'Lisez la réponse ci-dessus\u00a0: elle indique souvent la règle et une page qui l’explique. Si vous ne pouvez pas corriger la cause vous-même, transmettez ce rapport à votre administrateur.',
    },
    authentication: {
      what: 'Le serveur de messagerie du destinataire n’a pas pu vérifier que le message provient de votre domaine (SPF, DKIM, DMARC).',
      advice:
        'Envoyez le message par le serveur de messagerie de votre propre domaine. Si vous l’avez fait, transmettez ce rapport à votre administrateur.',
    },
    tls: {
      what: 'Le message n’a pas pu être envoyé avec le chiffrement (TLS) exigé pour lui.',
      advice:
        'Transmettez le contenu par un autre moyen sûr. Votre administrateur peut dire ce qui manque, et si cette exigence peut être levée.',
    },
    signing: {
      what: 'Le message n’a pas pu être signé (DKIM), et le domaine de son auteur ne laisse sortir aucun courrier non signé.',
      advice:
        'Transmettez ce rapport à votre administrateur\u00a0: il doit vérifier la clé de signature de votre domaine.',
    },
    rate: {
      what: 'Le serveur de messagerie du destinataire n’accepte plus de courrier de votre part pour le moment.',
      advice: 'Attendez quelques heures, puis renvoyez le message.',
    },
    'server-trouble': {
      what: 'Le serveur de messagerie du destinataire rencontre un problème.',
      advice: 'Renvoyez le message plus tard. En cas de nouvel échec, joignez le destinataire par un autre moyen.',
    },
    'this-system': {
      what: 'Ce système de messagerie n’a pas pu transmettre le message.',
      advice: 'Transmettez ce rapport à l’administrateur de ce système de messagerie.',
    },
    refused: {
      what: 'Le serveur de messagerie du destinataire refuse le message.',
      advice:
        'Lisez la réponse ci-dessus\u00a0: elle en donne peut-être la raison. Sinon, transmettez ce rapport à votre administrateur.',
    },
  },
  fate: {
    final: 'Il a été remis dans la boîte aux lettres.',
    relayed:
      'Il a été transmis à un serveur qui n’envoie pas de rapports de remise. Vous ne recevrez pas d’autre information à son sujet.',
    expanded:
      'L’adresse désigne plusieurs destinataires, auxquels le message est transmis. Les remises réussies à ces destinataires ne sont pas signalées.',
    list: 'Il a été accepté pour la liste de diffusion, qui le transmet à ses membres. Vous ne recevrez pas de rapport à leur sujet.',
  },
};
