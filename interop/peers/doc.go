// Package peers holds tests that hold walve against other WebSocket libraries,
// against protocols that run over a net.Conn, and against programs that are not
// written in Go. Its dependencies are kept out of the module walve.
package peers
