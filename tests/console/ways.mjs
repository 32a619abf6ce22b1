// The ways in which people use the page. WAY=keyboard: they reach every control by Tab. WAY=phone and WAY=small-phone: on a phone's
// screen, in the dark. Otherwise at a desk with a mouse.

import assert from 'node:assert/strict';

/** The widths of phones, in CSS pixels. */
export const WIDTHS = { phone: 390, 'small-phone': 320 };
export const { WAY = 'mouse' } = process.env;
assert.ok(['mouse', 'keyboard', ...Object.keys(WIDTHS)].includes(WAY), `WAY=${WAY} is none of mouse, keyboard, phone and small-phone`);

/** What a browser on a phone is told; nothing at a desk. */
export const phone = WIDTHS[WAY] && { viewport: { width: WIDTHS[WAY], height: 844 }, isMobile: true, hasTouch: true, colorScheme: 'dark' };

const CONTROL = 'a[href], button, input, select, textarea, summary';
// More than a page has controls.
const TABS = 400;

const isOutlined = (element) => getComputedStyle(element).outlineStyle !== 'none';

/** Presses Tab until the focus is on what is called `name`, and visible there. */
export async function tabTo(page, name) {
  const reached = [];
  for (let presses = 0; presses < 60 && !reached.at(-1)?.startsWith(name); presses += 1) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => {
      const { labels, textContent, id } = document.activeElement;
      return (labels?.[0]?.textContent || textContent || id).trim().slice(0, 60);
    }));
  }
  assert.ok(reached.at(-1).startsWith(name), `${name} is not reached: ${reached.join(', ')}`);
  assert.ok(await page.locator('*:focus').evaluate(isOutlined), `the focus on ${name} is not seen`);
}

/** Presses Tab until the focus is on the control of what a locator finds, and visible there; the control. */
async function reach(locator) {
  const page = locator.page();
  for (let presses = 0; presses < TABS; presses += 1) {
    await locator.waitFor();
    const control = await locator.evaluateHandle((found, selector) => found.closest(selector) ?? found.closest('label').control, CONTROL);
    // A live part may be replaced on the way.
    if (await control.evaluate((element) => element === element.ownerDocument.activeElement)) {
      assert.ok(await control.evaluate(isOutlined), `the focus on ${locator} is not seen`);
      return control;
    }
    await control.dispose();
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not reach ${locator}`);
}

/** Presses the key that acts on a control. */
async function act(locator) {
  const control = await reach(locator);
  await control.press(await control.evaluate((element) => (element.matches('[type=checkbox], [type=radio]') ? 'Space' : 'Enter')));
}

const setTo = (wanted) => async (locator) => {
  if (await locator.isChecked() !== wanted) await act(locator);
};

/** What the keyboard does instead of the mouse. */
const BY_KEYBOARD = {
  click: act,
  dblclick: async (locator) => {
    await act(locator);
    await locator.page().keyboard.press('Enter');
  },
  check: setTo(true),
  uncheck: setTo(false),
};

/**
 * Has everybody act in their way from here on. An action returns when the page that it leads to begins; the journeys look at what
 * stands there, and reload it: they wait until it has loaded.
 */
export async function actInTheirWay(browser) {
  const page = await browser.newPage();
  const locators = Object.getPrototypeOf(page.locator('body'));
  await page.close();
  for (const [action, byKeyboard] of Object.entries(BY_KEYBOARD)) {
    const byMouse = locators[action];
    locators[action] = async function actAndWait(...options) {
      await (WAY === 'keyboard' ? byKeyboard(this) : byMouse.apply(this, options));
      await this.page().waitForLoadState();
    };
  }
  if (WAY !== 'keyboard') return;
  for (const action of ['fill', 'selectOption']) {
    const write = locators[action];
    locators[action] = async function reachAndWrite(...options) {
      await reach(this);
      return write.apply(this, options);
    };
  }
}
