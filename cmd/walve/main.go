// Command walve is a tunnel and a netcat for WebSocket. walve -h says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const usage = `walve carries byte streams over WebSocket (RFC 6455): whatever speaks TCP then goes
through HTTP proxies, load balancers and CDNs.

Usage:

    walve COMMAND [flags] ARGUMENTS

Commands:

    listen   accept WebSockets and connect each to a TCP or unix socket
    dial     connect to a WebSocket: standard input and output, or a local port
    cat      talk to any WebSocket server by hand: a line is a message
    ping     measure round trips

walve COMMAND -h tells all about one. To begin with, SSH over HTTPS:

    server$ walve listen -auth-file tokens -tls-cert cert.pem -tls-key key.pem \
                wss://:443/ssh tcp://127.0.0.1:22
    client$ ssh -o ProxyCommand='walve dial -auth-file token wss://%h/ssh' host

Behind a web server that has the certificate it is ws://127.0.0.1:8080/ssh without
-tls-cert and -tls-key; the README has configurations for nginx, HAProxy and Caddy.

Exit codes:

    0    all went well; for listen and dial -listen also after SIGTERM
    1    the connection was lost, closed with an error, or something local failed
    2    wrong usage
    3    no connection: name, network, proxy or TLS
    4    the server, or a proxy, refused the opening handshake
    130  stopped by SIGINT before the end
    143  stopped by SIGTERM before the end
`

// Exit codes; usage says what they mean.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitConnect = 3
	exitRefused = 4
	exitSignal  = 128 // and the number of the signal
)

// A command is one of walve's.
type command struct {
	name  string
	usage string
	run   func(e *env, args []string) error
}

func commands() []command {
	return []command{
		{"listen", listenUsage, runListen},
		{"dial", dialUsage, runDial},
		{"cat", catUsage, runCat},
		{"ping", pingUsage, runPing},
	}
}

// An env is what a command has of the process around it.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	command        command
	// stop ends at the first SIGINT or SIGTERM, and context.Cause(stop) is
	// then a stopSignal; the second one ends the process.
	stop context.Context
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "-h", "-help", "--help", "help":
		if len(args) > 1 {
			return run([]string{args[1], "-h"}, stdin, stdout, stderr)
		}
		io.WriteString(stdout, usage)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		stop, cancel := onStopSignal()
		defer cancel()
		e := &env{stdin: stdin, stdout: stdout, stderr: stderr, command: c, stop: stop}
		return e.exit(c.run(e, args[1:]))
	}
	if name == "" {
		fmt.Fprintf(stderr, "walve: which command? One of listen, dial, cat and ping\n  try: walve -h\n")
	} else {
		fmt.Fprintf(stderr, "walve: there is no command %q, only listen, dial, cat and ping\n  try: walve -h\n", name)
	}
	return exitUsage
}

// exit says what is wrong, if anything, and what to try, and returns the exit
// code.
func (e *env) exit(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	code := exitCode(err)
	if isQuiet(err) {
		return code
	}
	fmt.Fprintf(e.stderr, "walve %s: %s\n", e.command.name, message(err))
	if h := hint(err); h != "" {
		fmt.Fprintf(e.stderr, "  try: %s\n", h)
	}
	return code
}

// parse parses a command's flags. Help goes to standard output, since it was
// asked for.
func (e *env) parse(fs *flag.FlagSet, args []string) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(e.stdout, strings.TrimLeft(e.command.usage, "\n"))
		fmt.Fprint(e.stdout, "\nFlags:\n\n")
		fs.SetOutput(e.stdout)
		fs.PrintDefaults()
	case err != nil:
		return usagef("%v", err)
	}
	return err
}

// lingerTime is what a process waits, about to exit, for connections it has
// just closed: longer than walve.Conn does in the background.
const lingerTime = 6 * time.Second
