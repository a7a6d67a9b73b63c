import { Modal } from './actions/dialog.tsx';
import { KEYS } from './keys.ts';
import { choose, preferences } from './lib/preferences.ts';
import { useStore } from './lib/store.ts';

/** Keys, and what a viewer can choose once. */
export function Help({ close }: { close(): void }) {
  const { hasKeys, isUtc, name } = useStore(preferences);
  return (
    <Modal title="Help" close={close}>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={hasKeys}
          onChange={(event) => choose({ hasKeys: event.currentTarget.checked })}
        />{' '}
        Use these keys
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={isUtc}
          onChange={(event) => choose({ isUtc: event.currentTarget.checked })}
        />{' '}
        Times in UTC
      </label>
      <label class="field">
        <span>Your name, for the history of what you do; else your address</span>
        <input
          value={name}
          maxLength={100}
          onInput={(event) => choose({ name: event.currentTarget.value })}
        />
      </label>
      <form
        class="buttons"
        onSubmit={(event) => {
          event.preventDefault();
          close();
        }}
      >
        <button type="submit" class="primary">
          Close
        </button>
      </form>
    </Modal>
  );
}
