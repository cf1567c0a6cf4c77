/**
 * The lines of a notes.ini: `Name=value`, the names without case. A repeated name keeps its first value, as for
 * `sealpost keys import notes.ini`; the others are told.
 */

/** `value` without outer blanks. `place`: `notes.ini:12`. */
export type IniSetting = { place: string; text: string; name: string; value: string };

/** What a line is that is not the first one of a setting. */
export type IniRemark = { place: string; text: string; problem: string };

export type Ini = {
  /** By name in lower case. */
  settings: Map<string, IniSetting>;
  remarks: IniRemark[];
};

/** A longer one is rubbish, which is not printed whole. */
const LONGEST_SHOWN = 500;

export function readIni(text: string, file: string): Ini {
  const ini: Ini = { settings: new Map(), remarks: [] };
  for (const [i, content] of text.split(/\r\n|\n|\r/).entries()) {
    const line = content.trim();
    if (line === '' || /^[;#[]/.test(line)) continue;
    const place = `${file}:${i + 1}`;
    const equals = line.indexOf('=');
    const shown = line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)}…` : line;
    if (equals < 1) {
      ini.remarks.push({ place, text: shown, problem: 'has no name and =: not taken' });
      continue;
    }
    const name = line.slice(0, equals).trim();
    const first = ini.settings.get(name.toLowerCase());
    if (first === undefined) {
      ini.settings.set(name.toLowerCase(), { place, text: shown, name, value: line.slice(equals + 1).trim() });
    } else {
      const line = first.place.split(':').at(-1);
      ini.remarks.push({ place, text: shown, problem: `stands in line ${line} already: that one is taken` });
    }
  }
  return ini;
}
