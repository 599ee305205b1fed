/** Point 12: S4's load command and S3's page; nothing unexpected comes back, and the report has N-01 to N-04. */
// Locust with our scenarios, S4's flags.
import "../load-scenarios.test.ts";
// `npm run loadtest` with the same flags, its page at 8089, its report.
import "../loadtest.test.ts";
