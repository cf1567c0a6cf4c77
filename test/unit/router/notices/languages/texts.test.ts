import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DSN_LANGUAGES } from '#cluster/config/schema/reports/dsn.ts';
import { TEXTS } from '#services/router/notices/languages/tables.ts';
import type { Texts } from '#services/router/notices/languages/texts.ts';
import { MessageTls } from '#shared/mail/message-tls.ts';

/** Every text of a table by its place in it, with the same words of others in each. */
function textsOf(texts: Texts): [place: string, text: string][] {
  const { subject, opening, postmaster, causes, fate } = texts;
  return [
    ...Object.entries(subject).map(([kind, text]): [string, string] => [`subject ${kind}`, text]),
    ...Object.entries(opening).flatMap(([kind, { one, several }]): [string, string][] => [
      [`one ${kind}`, one('bob@peer.example')],
      [`several ${kind}`, several],
    ]),
    ['subject postmaster', postmaster.subject],
    ['copy', postmaster.copy('alice@sender.example')],
    ['dead letter', postmaster['dead-letter']],
    ...Object.entries(causes).flatMap(([cause, { what, advice }]): [string, string][] => [
      [`what ${cause}`, what],
      [`advice ${cause}`, advice],
    ]),
    ...Object.entries(fate).map(([end, text]): [string, string] => [`fate ${end}`, text]),
    ...MessageTls.shape.level.options.flatMap((level) =>
      MessageTls.shape.by.options.map((by): [string, string] => [`TLS ${level} ${by}`, texts.mustTls({ level, by })]),
    ),
    ['from', texts.from('mx.sealpost.test')],
    ['until', texts.until('DATE')],
    ['queueId', texts.queueId('ID')],
    ['arrived', texts.arrived('DATE')],
    ['sentTo', texts.sentTo('info@ours.example')],
    ['said', texts.said('mx.peer.example', '550 5.1.1 no')],
    ['says', texts.says('550 5.1.1 no')],
    ['untried', texts.untried],
    ['expired', texts.expired],
    ['toDo', texts.toDo],
  ];
}

test('no text stands twice in a language, but where the same advice is meant', () => {
  for (const language of DSN_LANGUAGES) {
    const texts = textsOf(TEXTS[language]).filter(([place]) => !place.startsWith('advice'));
    const twice = texts.filter(([, text], i) => texts.findIndex(([, other]) => other === text) !== i);
    assert.deepEqual(twice, [], language);
  }
});

test('every text is translated', () => {
  const english = new Map(textsOf(TEXTS.en));
  for (const language of DSN_LANGUAGES.filter((one) => one !== 'en')) {
    const untranslated = textsOf(TEXTS[language]).filter(([place, text]) => english.get(place) === text);
    assert.deepEqual(untranslated, [], language);
  }
});

test('what others said stands in a text as they said it', () => {
  for (const language of DSN_LANGUAGES) {
    const texts = new Map(textsOf(TEXTS[language]));
    assert.match(texts.get('said') ?? '', /mx\.peer\.example.*550 5\.1\.1 no$/, language);
    assert.match(texts.get('says') ?? '', /550 5\.1\.1 no$/, language);
    assert.match(texts.get('one failed') ?? '', /<bob@peer\.example>/, language);
  }
});

test('a subject fits into a few encoded words', () => {
  for (const language of DSN_LANGUAGES) {
    for (const subject of Object.values(TEXTS[language].subject)) {
      assert.ok(Buffer.byteLength(subject) < 120, subject);
    }
  }
});
