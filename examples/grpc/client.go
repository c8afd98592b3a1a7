package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/grpc/demopb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	countTo   = 1000
	chunkSize = 64 << 10
	chunks    = 128 // 8 MiB: many frames in flight, and past every flow control window
)

// runClient calls every method of the server at u, checks every answer and
// prints what went over u. With certPEM it trusts that certificate only.
func runClient(ctx context.Context, u *url.URL, certPEM []byte, out io.Writer) error {
	// Everything about WebSocket on this side: a Dialer instead of a
	// net.Dialer. With wss it is the Dialer that speaks TLS, so gRPC itself
	// needs no credentials.
	d := &walve.Dialer{URL: u.String()}
	if certPEM != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(certPEM) {
			return errors.New("-cert: the file holds no certificate in PEM")
		}
		d.TLSConfig = &tls.Config{RootCAs: roots}
	}
	var sum traffic
	cc, err := grpc.NewClient("passthrough:///"+u.Host,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			sum.conns.Add(1)
			return &countingConn{conn, &sum}, nil
		}))
	if err != nil {
		return err
	}
	client := demopb.NewDemoClient(cc)
	for _, step := range []struct {
		name string
		call func() (string, error)
	}{
		{"Health.Check", func() (string, error) { return checkHealth(ctx, healthpb.NewHealthClient(cc)) }},
		{"Greet", func() (string, error) { return greet(ctx, client) }},
		{"Count", func() (string, error) { return count(ctx, client) }},
		{"Digest", func() (string, error) { return digest(ctx, client) }},
		{"Upper", func() (string, error) { return upper(ctx, client) }},
	} {
		text, err := step.call()
		if err != nil {
			cc.Close()
			return fmt.Errorf("%s over %s: %w", step.name, u, err)
		}
		fmt.Fprintf(out, "%s  %-12s  %s\n", u, step.name, text)
	}
	if err := cc.Close(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %d connection, %d bytes written, %d bytes read\n",
		u, sum.conns.Load(), sum.written.Load(), sum.read.Load())
	return nil
}

func checkHealth(ctx context.Context, client healthpb.HealthClient) (string, error) {
	reply, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return "", err
	}
	if reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("the server is %s", reply.GetStatus())
	}
	return reply.GetStatus().String(), nil
}

func greet(ctx context.Context, client demopb.DemoClient) (string, error) {
	reply, err := client.Greet(ctx, &demopb.GreetRequest{Name: "gopher"})
	if err != nil {
		return "", err
	}
	if want := "hello, gopher"; reply.GetText() != want {
		return "", fmt.Errorf("got %q, want %q", reply.GetText(), want)
	}
	return fmt.Sprintf("unary: %q, the server sees %s", reply.GetText(), reply.GetPeer()), nil
}

func count(ctx context.Context, client demopb.DemoClient) (string, error) {
	stream, err := client.Count(ctx, &demopb.CountRequest{To: countTo})
	if err != nil {
		return "", err
	}
	for want := int32(1); ; want++ {
		reply, err := stream.Recv()
		if err == io.EOF && want == countTo+1 {
			return fmt.Sprintf("server streaming: 1 to %d", countTo), nil
		}
		if err != nil {
			return "", fmt.Errorf("at %d: %w", want, err)
		}
		if reply.GetN() != want {
			return "", fmt.Errorf("got %d, want %d", reply.GetN(), want)
		}
	}
}

func digest(ctx context.Context, client demopb.DemoClient) (string, error) {
	stream, err := client.Digest(ctx)
	if err != nil {
		return "", err
	}
	source, hash := rand.NewChaCha8([32]byte{}), sha256.New()
	for range chunks {
		chunk := make([]byte, chunkSize)
		source.Read(chunk) // never fails
		hash.Write(chunk)
		// The error of Send is only io.EOF; CloseAndRecv has the reason.
		if err := stream.Send(&demopb.Chunk{Data: chunk}); err != nil {
			break
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return "", err
	}
	if reply.GetSize() != chunks*chunkSize || !bytes.Equal(reply.GetSha256(), hash.Sum(nil)) {
		return "", fmt.Errorf("the server got other bytes than were sent: %d of %d, SHA-256 %x",
			reply.GetSize(), chunks*chunkSize, reply.GetSha256())
	}
	return fmt.Sprintf("client streaming: %d bytes, SHA-256 %x... on both sides", reply.GetSize(), reply.GetSha256()[:4]), nil
}

func upper(ctx context.Context, client demopb.DemoClient) (string, error) {
	stream, err := client.Upper(ctx)
	if err != nil {
		return "", err
	}
	var got []string
	for _, line := range []string{"one", "two", "three"} {
		if err := stream.Send(&demopb.Line{Text: line}); err != nil && err != io.EOF { // io.EOF: Recv has the reason
			return "", err
		}
		reply, err := stream.Recv()
		if err != nil {
			return "", err
		}
		if want := strings.ToUpper(line); reply.GetText() != want {
			return "", fmt.Errorf("got %q, want %q", reply.GetText(), want)
		}
		got = append(got, reply.GetText())
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return "", fmt.Errorf("after the last line: got %v, want %v", err, io.EOF)
	}
	return "bidirectional streaming: " + strings.Join(got, ", "), nil
}

// traffic is the sum over the connections of a client.
type traffic struct{ conns, read, written atomic.Int64 }

// countingConn counts what gRPC reads and writes: the payload of the frames.
type countingConn struct {
	net.Conn
	sum *traffic
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.sum.read.Add(int64(n))
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sum.written.Add(int64(n))
	return n, err
}
