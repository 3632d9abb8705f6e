// Installing the client as an app, where the browser offers that to pages.

let offer;

addEventListener('beforeinstallprompt', (e) => { e.preventDefault(); offer = e; });
addEventListener('appinstalled', () => { offer = undefined; });

/** Whether the browser would install the client now. */
export const canInstall = () => !!offer;

/** Lets the browser ask whether to install the client. */
export async function install() {
  const e = offer;
  offer = undefined;
  await e?.prompt();
}
