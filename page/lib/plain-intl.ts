/**
 * Stands for `Intl` in the page (scripts/page-bundle.ts). The first format that is made takes a browser 30 ms and more, and uPlot
 * makes two as it is loaded, for texts that the page gives it otherwise.
 */
export const PlainIntl = {
  NumberFormat: class {
    format(value: number): string {
      return String(value);
    }
  },
  DateTimeFormat: class {
    resolvedOptions() {
      return { timeZone: '' };
    }
  },
};
