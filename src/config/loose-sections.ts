import * as v from 'valibot';
import * as schema from './schema.js';

/** A section with mistakes: what is right in it. Undefined: a key with a mistake, a list element with one, and a key that is left out and has no default. */
export type Loose<Section> = {
  readonly [Key in keyof Section]?: Section[Key] extends readonly (infer Element)[] ? readonly (Element | undefined)[] : Section[Key];
};

export interface LooseSections {
  readonly stripe: Loose<v.InferOutput<typeof schema.stripe>>;
  readonly journal: Loose<v.InferOutput<typeof schema.journal>>;
  /** undefined: there is none. */
  readonly backup: Loose<v.InferOutput<typeof schema.backup>> | undefined;
  readonly export: Loose<v.InferOutput<typeof schema.exports>>;
  readonly control: Loose<v.InferOutput<typeof schema.control>>;
}

/** All that can be checked beside mistakes: a wrong chunk does not hide that a member is named twice. */
export function looseSections(document: Record<string, unknown>): LooseSections {
  return {
    stripe: loose(schema.stripe, document.stripe),
    journal: loose(schema.journal, document.journal),
    backup: document.backup === undefined ? undefined : loose(schema.backup, document.backup),
    export: loose(schema.exports, document.export),
    control: loose(schema.control, document.control),
  };
}

type Section = v.GenericSchema & { readonly entries: v.ObjectEntries };

function loose<Of extends Section>(of: Of, value: unknown): Loose<v.InferOutput<Of>> {
  const given = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const right: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(of.entries)) {
    const raw = given[key];
    // A list is taken apart, so that one wrong element does not take the others with it.
    const isList = Array.isArray(raw) && Array.isArray(parsed(entry, []));
    right[key] = isList ? raw.map((element) => (parsed(entry, [element]) as unknown[] | undefined)?.[0]) : parsed(entry, raw);
  }
  return right as Loose<v.InferOutput<Of>>;
}

function parsed(entry: v.GenericSchema, value: unknown): unknown {
  const result = v.safeParse(entry, value);
  return result.success ? result.output : undefined;
}
