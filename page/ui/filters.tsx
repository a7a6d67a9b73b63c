import { currentRoute, hrefTo, withParams } from '../lib/route.ts';
import { Foreign } from './text.tsx';

export interface ChoiceItem {
  readonly value: string;
  readonly words: string;
  readonly href: string;
  readonly title?: string;
}

/** One of a few, each of which has an address. */
export function Choice({
  label,
  chosen,
  choices,
}: {
  readonly label: string;
  readonly chosen: string;
  readonly choices: readonly ChoiceItem[];
}) {
  return (
    <nav class="choice" aria-label={label}>
      {choices.map(({ value, words, href, title }) => (
        <a key={value} href={href} title={title} aria-current={value === chosen ? 'true' : undefined}>
          <Foreign text={words} />
        </a>
      ))}
    </nav>
  );
}

/** One of the values of a parameter in the address; the first one is what is meant without it. */
export function ParamChoice<Value extends string>({
  label,
  param,
  values,
  words = (value) => value.replaceAll('_', ' '),
  resets = () => [],
}: {
  readonly label: string;
  readonly param: string;
  readonly values: readonly Value[];
  words?(value: Value): string;
  /** Parameters that make no sense with that value. */
  resets?(value: Value): readonly string[];
}) {
  const { parts, query } = currentRoute();
  const [usual] = values;
  const none = (value: Value) => Object.fromEntries(resets(value).map((name) => [name, null]));
  return (
    <Choice
      label={label}
      chosen={query.get(param) ?? usual ?? ''}
      choices={values.map((value) => ({
        value,
        words: words(value),
        href: hrefTo(
          parts.join('/'),
          withParams({ ...none(value), [param]: value === usual ? null : value }),
        ),
      }))}
    />
  );
}

/** The filters in the address, each of which can be taken away. */
export function Chips({ path, except }: { readonly path: string; readonly except: readonly string[] }) {
  const filters = [...currentRoute().query].filter(([name]) => !except.includes(name));
  return (
    <>
      {filters.map(([name, value]) => {
        const params = withParams({});
        params.delete(name, value);
        return (
          <a key={`${name} ${value}`} class="chip" href={hrefTo(path, params)} title="Take this filter away">
            <span class="key">{name === 'meta' ? '' : name.replaceAll('_', ' ')}</span>
            <Foreign text={value} />
            <span aria-hidden="true">×</span>
            <span class="visually-hidden">, take away</span>
          </a>
        );
      })}
    </>
  );
}
