import { Component, type ComponentChildren } from 'preact';
import { Foreign } from './text.tsx';

/** Keeps a fault of one view from taking the whole page with it. */
export class Boundary extends Component<
  { readonly children: ComponentChildren },
  { readonly problem: string | null }
> {
  override state = { problem: null };

  override componentDidCatch(error: unknown): void {
    this.setState({ problem: String(error) });
  }

  override render() {
    const { problem } = this.state;
    if (problem === null) return this.props.children;
    return (
      <p class="panel empty bad" role="alert">
        This view failed: <Foreign text={problem} />. Reload the page; if it happens again, it is a defect of
        opsqueue.
      </p>
    );
  }
}
