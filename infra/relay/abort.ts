import type { Socket } from 'node:net'

/**
 * Closes a socket with a TCP RST, at once. Node's `resetAndDestroy` shuts it down first, and if it fails in that
 * moment libuv refuses the reset (uv_tcp_close_reset) and Node 24 never closes it: the process then spins when it
 * ends. A socket that is being shut down, or connects, is closed without RST.
 */
export function abort(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) socket.destroy()
  else Object.assign(socket, { resetAndClosing: true }).destroy()
}
