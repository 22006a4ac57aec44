package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary records what happened, in order.
type diary struct {
	mu     sync.Mutex
	events []string
}

func (d *diary) note(event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, event)
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.events...)
}

// untilEnded runs until its context ends.
func (d *diary) untilEnded(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.note("run " + name)
		<-ctx.Done()
		d.note("end " + name)
		return ctx.Err()
	}
}

func (d *diary) stop(name string) func(context.Context) error {
	return func(context.Context) error {
		d.note("stop " + name)
		return nil
	}
}

func newGroup(t *testing.T, change func(*Options)) *Group {
	t.Helper()
	o := Options{
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Exit:   func(code int) { t.Errorf("exit %d was not expected", code) },
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

func TestRun_StopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := newGroup(t, nil)
		g.Add("database", nil, d.stop("database"))
		g.Add("relay", d.untilEnded("relay"), nil)
		g.Add("server", d.untilEnded("server"), d.stop("server"))
		g.OnDrain(func() { d.note("drain") })
		require.False(t, g.Ready())
		signals := make(chan os.Signal)
		done := make(chan error, 1)
		go func() { done <- g.run(t.Context(), signals) }()
		synctest.Wait()
		require.True(t, g.Ready())
		require.ElementsMatch(t, []string{"run relay", "run server"}, d.all())
		signals <- syscall.SIGTERM
		require.NoError(t, <-done)
		require.False(t, g.Ready())
		require.Equal(t, []string{"drain", "stop server", "end server", "end relay", "stop database"}, d.all()[2:])
	})
}

func TestRun_WaitsForTheNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := newGroup(t, func(o *Options) { o.Notice = 5 * time.Second })
		g.Add("server", d.untilEnded("server"), d.stop("server"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.run(ctx, nil) }()
		synctest.Wait()
		cancel()
		time.Sleep(5*time.Second - time.Nanosecond)
		synctest.Wait()
		require.False(t, g.Ready(), "told at once")
		require.Equal(t, []string{"run server"}, d.all(), "and still serving")
		require.NoError(t, <-done)
	})
}

func TestRun_StopsWhenAPartFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := newGroup(t, func(o *Options) { o.Notice = time.Hour })
		g.Add("relay", d.untilEnded("relay"), nil)
		g.Add("server", func(context.Context) error { return errors.New("address in use") }, nil)
		g.Add("migrations", func(context.Context) error { return nil }, nil)
		err := g.run(t.Context(), nil)
		require.EqualError(t, err, "run server: address in use")
		require.Equal(t, []string{"run relay", "end relay"}, d.all())
	})
}

func TestRun_GoesOnWhenAPartHasDoneItsWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, nil)
		g.Add("once", func(context.Context) error { return nil }, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.run(ctx, nil) }()
		synctest.Wait()
		require.True(t, g.Ready())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestRun_GivesUpOnAPartThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		release := make(chan struct{})
		g := newGroup(t, func(o *Options) { o.StopTimeout = 3 * time.Second })
		g.Add("database", nil, d.stop("database"))
		g.Add("stuck", func(context.Context) error {
			<-release
			return nil
		}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := g.run(ctx, nil)
		require.ErrorContains(t, err, "stuck: it is still running")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, []string{"stop database"}, d.all(), "the others are stopped all the same")
		close(release)
	})
}

func TestRun_ReportsEveryFailureToStop(t *testing.T) {
	t.Parallel()
	g := newGroup(t, nil)
	g.Add("a", nil, func(context.Context) error { return errors.New("one") })
	g.Add("b", nil, func(context.Context) error { return errors.New("two") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.EqualError(t, g.run(ctx, nil), "stop b: two\nstop a: one")
}

func TestRun_ExitsOnASecondSignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exited := make(chan int, 1)
		g := newGroup(t, func(o *Options) {
			o.Notice = time.Hour
			o.Exit = func(code int) { exited <- code }
		})
		g.Add("server", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, nil)
		signals := make(chan os.Signal)
		done := make(chan error, 1)
		go func() { done <- g.run(t.Context(), signals) }()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		require.Equal(t, 130, <-exited)
		require.NoError(t, <-done)
	})
}

// TestRun_HearsRealSignals is alone in using the process's signals: SIGUSR1, which nothing else here uses.
func TestRun_HearsRealSignals(t *testing.T) {
	t.Parallel()
	g := newGroup(t, func(o *Options) { o.Signals = []os.Signal{syscall.SIGUSR1} })
	started := make(chan struct{})
	g.Add("server", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		return nil
	}, nil)
	done := make(chan error, 1)
	go func() { done <- g.Run(t.Context()) }()
	<-started
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	require.NoError(t, <-done)
}
