/** Whether what is sent to a URL is protected: by TLS, or because it does not leave this machine. */
export function isProtected({ protocol, hostname }: URL): boolean {
  if (protocol === 'https:') return true;
  // The parser has made every spelling of 127.x.y.z the usual one.
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  return protocol === 'http:' && isLoopback;
}
