// The cluster example is many processes behind one address. Two workers share
// a port (SO_REUSEPORT); what has to reach all pages goes over NATS:
//
//	go run ./examples/cluster -workers 2
//
// SIGHUP restarts the workers one by one: pages come back to another worker,
// the file goes on where it was, and no message is lost or shown twice.
//
// On several machines, behind nginx.conf or haproxy.cfg, with NATS servers that
// all reach (nats-server -js):
//
//	go run ./examples/cluster -addr 10.0.0.1:8080 -nats nats://10.0.0.9:4222
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/bodokaiser/walve/examples/internal/bus"
	"github.com/bodokaiser/walve/examples/internal/program"
	"github.com/bodokaiser/walve/examples/internal/sample"
	"github.com/nats-io/nats-server/v2/server"
)

//go:embed static
var static embed.FS

func main() { program.Main("cluster", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "serve the page at this `address`")
	workers := flags.Int("workers", 2, "how many processes")
	size := flags.Int64("size", 8, "size in `MiB` of the picture that is streamed")
	natsURL := flags.String("nats", "", "`URL` of NATS servers with JetStream (default: one of its own)")
	file := flags.String("worker", "", "be a worker that streams this `file`; for the program itself")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	if *file != "" {
		return work(ctx, out, *addr, os.Getenv(natsEnv), *file)
	}
	if *workers < 1 {
		return errors.New("-workers: at least 1")
	}
	dir, err := os.MkdirTemp("", "walve-cluster")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := sample.Create(dir, "png", *size<<20)
	if err != nil {
		return err
	}
	if *natsURL == "" {
		// Its port is open to whoever is on this machine.
		token := newToken()
		s, err := bus.Start(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, Authorization: token})
		if err != nil {
			return err
		}
		defer s.WaitForShutdown()
		defer s.Shutdown()
		*natsURL = fmt.Sprintf("nats://%s@%s", token, s.Addr())
	}
	if err := createStream(ctx, *natsURL); err != nil {
		return err
	}

	held, bound, err := holdPort(*addr)
	if err != nil {
		return err
	}
	defer held.Close()
	s := &supervisor{addr: bound, file: path, nats: *natsURL, out: out, exited: make(chan *worker), done: make(chan struct{})}
	if err := s.start(*workers); err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s/\n", bound)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return s.run(ctx, hangup)
}
